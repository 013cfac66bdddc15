"""The ways to take training steps, one contract: eager, compiled, as a CUDA graph."""
