"""Checks of what objectives declare."""
