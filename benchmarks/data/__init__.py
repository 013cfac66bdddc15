"""What data larger than memory cost."""
