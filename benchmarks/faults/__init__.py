"""What a command leaves behind when it is killed at any time, or its surroundings fail it."""
