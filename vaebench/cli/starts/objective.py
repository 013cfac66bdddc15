"""An objective of my own: what training minimises, and what is known of it.

    vaebench certify my_objective --plugin FILE
    vaebench run study.toml --plugin FILE

with `objective = { name = "my_objective", weight = 4.0 }` in the [base] of the study.
"""

import math
from typing import Annotated

import vaebench as vb


# What is declared is checked: `certify` holds each fact against models whose log p(x) is known.
# What is not declared is not claimed: bound="none" and nothing else is enough to begin with.
@vb.objective(
    source="mine",
    # What minus the loss is to log p(x): "lower", "upper" or "none"; and for which values.
    bound="lower",
    bound_for={"weight": (1.0, math.inf)},
    # Where it is the same as another objective, at which hyperparameters.
    same_as=(vb.SameAs("elbo", at={"weight": 1.0}),),
    # What it asks of posterior and prior; leave it out where samples are enough.
    needs="closed_form_kl",
)
def my_objective(
    t: vb.Terms,
    *,
    # A hyperparameter: its default, the values that are valid, and the range that
    # `vaebench sweep` searches.
    weight: Annotated[vb.Scalar, vb.Hyper((0.25, 8.0), log=True, low=0.0)] = 2.0,
):
    """Distortion plus a weight times the rate: [S, B] nats."""
    # Of K samples, S runs side by side and B examples, t has
    #   t.distortion, t.rate    [S, B]        -E_q[log p(x|z)], and KL[q(z|x) || p(z)]
    #   t.log_w                 [K, S, B]     log p(x, z) - log q(z|x), for bounds of many samples
    #   t.log_px_z, t.log_pz, t.log_qz_x      [K, S, B]
    #   t.z, t.q.mu, t.q.log_var              samples and parameters of q(z|x)
    # Return a loss for each run and example. Never mix runs: S stays as it is.
    return t.distortion + weight * t.rate
