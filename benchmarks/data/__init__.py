"""What data larger than memory cost, and data that studies are of beside those of the suite."""
