"""Parameters of any likelihood, and integrals over its support."""

import torch


def parameters(entry, value=0.4):
    """Every parameter at this value, and degrees of freedom where the tails are not too heavy."""
    named = dict.fromkeys([*entry.hyper, *entry.learned, *entry.fitted], value)
    return named | ({"df": 1.0 + 10.0 * value} if "df" in named else {})


def quadrature(support, centre):
    """Points and weights over the support of one pixel; the ends of (0, 1) and the tails in log."""
    if support.values:
        x = torch.tensor(support.values, dtype=torch.float64)
        return x, torch.ones_like(x)
    if support.interval == (0.0, 1.0):
        t = torch.linspace(-400, 36, 40_001, dtype=torch.float64)
        return t.sigmoid(), t.sigmoid() * (-t).sigmoid() * (t[1] - t[0])
    t = torch.linspace(-60, 60, 200_001, dtype=torch.float64)
    return centre + t.sinh(), t.cosh() * (t[1] - t[0])
