"""Inputs on which entries are checked."""
