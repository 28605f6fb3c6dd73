"""The image model that the curated data trains. Nothing is here yet."""
