"""Training of S3-DiT: objective, loop, optimizers, checkpoints, merging."""
