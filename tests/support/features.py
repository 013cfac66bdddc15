"""Random features, and the jackknife's variance of a distance between two sets of them."""

import torch


def normals(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def jackknife(distance, real, ours):
    """The variance from leaving out each vector of either set, by the definition."""
    total = 0.0
    for which, rows in enumerate((real, ours)):
        left = [torch.cat([rows[:i], rows[i + 1 :]]) for i in range(len(rows))]
        pairs = ((x, ours) if which == 0 else (real, x) for x in left)
        values = torch.stack([distance(*pair) for pair in pairs])
        total += (len(rows) - 1) * float(values.var(correction=0))
    return total
