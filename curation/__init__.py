"""Datasets of images: the store, profiling, filters, embeddings, deduplication, export."""
