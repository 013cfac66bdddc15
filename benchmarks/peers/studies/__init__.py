"""The race over a whole study: the time from a cold process to 140 trained runs."""
