"""The demonstration corpus: shipped photographs, rendered scenes and posters, planted faults, scoring."""
