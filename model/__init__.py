"""S3-DiT, the image model that the curated data trains."""
