"""The statistics of comparison: intervals, tests, ranks and power."""
