"""What does compiling a training step save, and what does it cost?"""
