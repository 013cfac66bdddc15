"""The rate under a weight, a floor, a target or a constraint; and the limit without it."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor

from vaebench.core.about import About
from vaebench.core.errors import InputError
from vaebench.core.hyper import Hyper, Scalar, with_axis
from vaebench.models.terms import Terms
from vaebench.objectives.entry import AT_LEAST_ONE, Case, SameAs, objective


@objective(
    source="Higgins et al. 2017, eq. 4",
    bound="lower",
    bound_for={"beta": AT_LEAST_ONE},
    same_as=(
        SameAs("elbo", at={"beta": 1.0}),
        SameAs("reconstruction_only", at={"beta": 0.0}),
    ),
    needs="closed_form_kl",
    about=About(
        formula=r"\mathcal{L} = \mathcal{D} + \beta \mathcal{R}",
        wrong_when="Below 1 it bounds nothing. Its beta is for sums over pixels and "
        "dimensions, in nats: one from code that averages either is another "
        "number (`vaebench effective-beta` translates). A large beta empties the "
        "code.",
    ),
)
def beta_elbo(
    t: Terms, *, beta: Annotated[Scalar, Hyper((0.1, 10.0), log=True, low=0.0)] = 4.0
) -> Tensor:
    """Distortion plus beta times rate: [S, B] nats. Bounds log p(x) only for beta >= 1."""
    return t.distortion + beta * t.rate


@objective(
    source='"Bending the ELBO in Variational Autoencoders" (2019), its training loop',
    bound="none",
    same_as=(SameAs("beta_elbo", other_at={"beta": 0.0}),),
    case_of=Case("beta_elbo", at={"beta": 0.0}),
    ignores_rate=True,
    about=About(
        formula=r"\mathcal{L} = \mathcal{D}",
        wrong_when="As a generative model: nothing ties q(z|x) to p(z), so images drawn "
        "from the prior mean little, and the rate grows as long as training goes "
        "on.",
    ),
)
def reconstruction_only(t: Terms) -> Tensor:
    """The distortion alone, no KL: [S, B] nats. A baseline: what the KL buys is the difference."""
    return t.distortion


Floor = Annotated[Scalar, Hyper((0.01, 2.0), log=True, low=0.0)]


@objective(
    source="Li et al. 2019, free bits of every dimension",
    bound="lower",
    same_as=(SameAs("elbo", at={"floor": 0.0}),),
    needs="independent_dimensions",
    about=About(
        formula=r"\mathcal{L} = \mathcal{D} + \sum_{d=1}^{D} \max\left( \lambda, "
        r"\mathrm{KL}[q(z_d|x) \,\|\, p(z_d)] \right), \qquad \lambda = "
        r"\text{floor}",
        wrong_when="Where few dimensions are needed: each is paid for up to the floor "
        "whether used or not, so all are driven to carry something.",
    ),
)
def free_bits_per_dimension(t: Terms, *, floor: Floor = 0.25) -> Tensor:
    """Distortion plus each example's rate by dimension, at least `floor` nats each: [S, B] nats.

    Below its floor a dimension has no gradient of the rate. The loss of a collapsed model is
    D floor above its ELBO.
    """
    return t.distortion + torch.maximum(t.rate_per_dimension, _like(t, with_axis(floor))).sum(-1)


@objective(
    source="Li et al. 2019, in its code: free bits of the whole rate",
    bound="lower",
    same_as=(SameAs("elbo", at={"floor": 0.0}),),
    needs="closed_form_kl",
    about=About(
        formula=r"\mathcal{L} = \mathcal{D} + \max\left( \lambda, \mathcal{R} \right), "
        r"\qquad \lambda = \text{floor}",
        wrong_when="Against dimensions that are not used: the floor is of their sum, and "
        "one dimension can fill it.",
    ),
)
def free_bits_per_example(t: Terms, *, floor: Floor = 2.0) -> Tensor:
    """Distortion plus the rate of each example, at least `floor` nats: [S, B] nats.

    An example below the floor has no gradient of its rate, in any dimension.
    """
    return t.distortion + torch.maximum(t.rate, _like(t, floor))


@objective(
    source="Kingma et al. 2016, appendix C.8, eq. 15",
    bound="lower",
    same_as=(SameAs("elbo", at={"floor": 0.0}, exact=False),),
    of_batch=True,
    needs="independent_dimensions",
    about=About(
        formula=r"\mathcal{L} = \mathcal{D} + \sum_{j=1}^{G} \max\left( \lambda, "
        r"\frac{1}{B} \sum_{b=1}^{B} \mathrm{KL}_{jb} \right), \qquad \lambda = "
        r"\text{floor}, \; G = \text{groups}",
        wrong_when="In small minibatches, whose mean rate is noisy about the floor. With "
        "one group, the default, it is a floor of the whole rate.",
    ),
)
def free_bits_per_group(
    t: Terms, *, floor: Floor = 0.5, groups: Annotated[int, Hyper(low=1)] = 1
) -> Tensor:
    """Distortion plus the batch's mean rate of each group, at least `floor` nats each: [S, B] nats.

    Groups are neighbouring dimensions, as even as they come; the paper's share parameters, so that
    an encoder of dense layers has one for each dimension, groups = D. The average comes before the
    floor: examples below it are pushed while the batch is above.
    """
    num_dimensions = t.rate_per_dimension.shape[-1]
    if groups > num_dimensions:
        raise InputError(
            f"there can be at most {num_dimensions} groups, one per dimension; got {groups}"
        )
    parts = t.rate_per_dimension.mean(-2, keepdim=True).tensor_split(groups, -1)
    rates = [torch.maximum(part.sum(-1), _like(t, floor)) for part in parts]
    return t.distortion + torch.stack(rates).sum(0)


Capacity = Annotated[Scalar, Hyper((0.0, 25.0), low=0.0)]
Gamma = Annotated[Scalar, Hyper((1.0, 1000.0), log=True, low=0.0)]


@objective(
    source="Burgess et al. 2018, eq. 8, with the distance of each example",
    bound="none",
    same_as=(SameAs("beta_elbo", at={"capacity": 0.0, "gamma": 4.0}, other_at={"beta": 4.0}),),
    needs="closed_form_kl",
    about=About(
        formula=r"\mathcal{L} = \mathcal{D} + \gamma \left| \mathcal{R} - C \right|, "
        r"\qquad C = \text{capacity}",
        wrong_when="Where examples differ in how much they hold: all are pressed to one "
        "rate. A capacity above what the data need makes the code carry noise.",
    ),
)
def capacity_per_example(t: Terms, *, capacity: Capacity = 5.0, gamma: Gamma = 10.0) -> Tensor:
    """Distortion plus gamma times the distance of each example's rate from capacity: [S, B] nats.

    In nats. All examples are pressed to one rate. The paper has gamma = 1000 and a capacity that
    rises from 0 to 25, for images of 64 x 64.
    """
    return t.distortion + gamma * (t.rate - capacity).abs()


@objective(
    source="Burgess et al. 2018, eq. 8, with the distance of the minibatch",
    bound="none",
    same_as=(
        SameAs(
            "beta_elbo",
            at={"capacity": 0.0, "gamma": 4.0},
            other_at={"beta": 4.0},
            exact=False,
        ),
    ),
    of_batch=True,
    needs="closed_form_kl",
    about=About(
        formula=r"\mathcal{L} = \mathcal{D} + \gamma \left| \frac{1}{B} \sum_{b=1}^{B} "
        r"\mathcal{R}_b - C \right|, \qquad C = \text{capacity}",
        wrong_when="In small minibatches, whose mean rate is noisy. A capacity above what "
        "the data need makes the code carry noise.",
    ),
)
def capacity_of_batch(t: Terms, *, capacity: Capacity = 5.0, gamma: Gamma = 10.0) -> Tensor:
    """Distortion plus gamma times the distance of the batch's rate from capacity: [S, B] nats.

    In nats. Examples may differ in their rates, as long as the mean is the capacity.
    """
    return t.distortion + gamma * (t.rate.mean(-1, keepdim=True) - capacity).abs()


def _geco_update(
    t: Terms,
    *,
    target: Scalar,
    momentum: Scalar,
    speed: Scalar,
    multiplier: Tensor,
    constraint: Tensor,
) -> dict[str, Tensor]:
    """Rezende & Viola 2018, algorithm 1: the moving constraint, and its multiplier after it."""
    now = t.distortion.mean(-1, keepdim=True) - target
    moving = torch.where(constraint.isnan(), now, momentum * constraint + (1.0 - momentum) * now)
    grown = multiplier * torch.exp((speed * moving).clamp(-1.0, 1.0))
    return {"multiplier": grown.clamp(1e-4, 1e4), "constraint": moving}


@objective(
    source="Rezende & Viola 2018, section 2.1 and algorithm 1",
    bound="none",
    same_as=(SameAs("elbo", at={"target": 0.0}),),
    state=("multiplier", "constraint"),
    update=_geco_update,
    needs="closed_form_kl",
    about=About(
        formula=r"\mathcal{L} = \mathcal{R} + \lambda \left( \mathcal{D} - \kappa "
        r"\right), \qquad \hat{c} \leftarrow m \hat{c} + (1 - m) \frac{1}{B} "
        r"\sum_{b=1}^{B} \left( \mathcal{D}_b - \kappa \right), \quad \lambda "
        r"\leftarrow \lambda e^{s \hat{c}}, \qquad \kappa = \text{target}, \; m = "
        r"\text{momentum}, \; s = \text{speed}",
        wrong_when="With a target that the model cannot reach: the multiplier grows until "
        "the rate counts for nothing. A target is a distortion in nats with all "
        "constants, so it depends on the likelihood.",
    ),
)
def geco(
    t: Terms,
    *,
    target: Annotated[Scalar, Hyper((10.0, 100.0))],
    momentum: Annotated[Scalar, Hyper(low=0.0, high=0.9999)] = 0.99,
    speed: Annotated[Scalar, Hyper((1e-4, 1e-1), log=True, low=0.0)] = 1e-3,
    multiplier: Scalar = 1.0,
    constraint: Scalar = math.nan,
) -> Tensor:
    """Rate plus a multiplier times what the distortion has above a target, in nats: [S, B] nats.

    After each step the multiplier grows by `speed` times the moving excess, so that training ends
    where the distortion is the target. The paper constrains the squared error; under a Gaussian
    likelihood of fixed sigma the distortion is that, up to scale and constant. The multiplier and
    its growth in one step are kept within 1e-4 to 1e4 and e.
    """
    return t.rate + multiplier * (t.distortion - target)


def _like(t: Terms, value: Scalar) -> Tensor:
    return torch.as_tensor(value, dtype=t.log_px_z.dtype, device=t.log_px_z.device)
