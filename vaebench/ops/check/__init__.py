"""Kernels checked against float64, timed, and their use of resources."""
