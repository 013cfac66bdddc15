"""The race over other shapes of model and objective, each against the same in JAX and PyTorch."""
