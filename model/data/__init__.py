"""From exported shards to batches: what the trainer reads, in which order and size."""
