"""Training: the loop, the step, and the ways to take steps."""
