"""Running planned stages: in this process, or on Ray."""
