"""Active curation: what a generator does badly, the data that would mend it, and people who check both."""
