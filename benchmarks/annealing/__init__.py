"""What annealed importance sampling says of an NLL by many samples."""
