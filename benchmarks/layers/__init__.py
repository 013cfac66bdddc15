"""Layers of latents: what the study of them shows in pictures, and what a step of them costs."""
