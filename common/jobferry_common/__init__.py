"""What producer and worker agree on, and all that is pure."""
