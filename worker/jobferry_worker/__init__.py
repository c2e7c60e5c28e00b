"""What runs near a cluster."""
