"""Models whose answers are known exactly, and integrals."""
