"""Flow posteriors: a diagonal Gaussian pushed through invertible maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vaebench.core.about import About, Limit
from vaebench.core.errors import InputError
from vaebench.models.posteriors.entry import Draw, Drawing, Latent, Layers, no_formula, posterior
from vaebench.models.posteriors.gaussian import DiagonalGaussian
from vaebench.ops import densities
from vaebench.ops.noise import normals


class Map(Protocol):
    """An invertible map of codes [K, S, B, D]."""

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The image and log |det J| [K, S, B]."""

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The pre-image, and log |det J| of `forward` there. Raises InputError: no formula."""

    def stopped(self) -> Map:
        """The same map, its parameters without gradient."""


@dataclass(frozen=True)
class Flow:
    """The distribution of maps[-1](... maps[0](z0)), z0 from a diagonal Gaussian."""

    base: DiagonalGaussian
    maps: tuple[Map, ...]

    def draw(self, drawing: Drawing) -> Draw:
        eps = normals(drawing.noise, drawing.num_samples, *self.base.mu.shape[-2:]).to(self.base.mu)
        z = densities.reparameterise(self.base.mu, self.base.log_var, eps)
        log_q = self.base.log_prob(z)
        for step in self.maps:
            z, log_det = step.forward(z)
            log_q = log_q - log_det
        return Draw(z, log_qz_x=log_q)

    def log_prob(self, z: Tensor) -> Tensor:
        log_dets = []
        for step in reversed(self.maps):
            z, log_det = step.inverse(z)
            log_dets.append(log_det)
        return self.base.log_prob(z) - torch.stack(log_dets).sum(0)

    def stopped(self) -> Flow:
        return Flow(self.base.stopped(), tuple(step.stopped() for step in self.maps))

    @property
    def num_examples(self) -> int:
        return self.base.num_examples

    @property
    def mean(self) -> Tensor:
        self._refuse("its mean")

    @property
    def log_var(self) -> Tensor:
        self._refuse("its variance")

    def _refuse(self, what: str) -> NoReturn:
        raise InputError(
            f"a posterior of flows has no closed form for {what}: choose posterior "
            f"'diagonal_gaussian'"
        )


LEAST_SLOPE = 1e-4
"""The least slope of a planar map along w: 1 + w'u is above it."""
SMALLEST = 1e-12
"""Squared norm of w, below which a planar map needs no care: there w'u is 0."""


@dataclass(frozen=True)
class Planar:
    """z + u tanh(w'z + b), with u moved so that w'u > -1 keeps it invertible."""

    u: Tensor  # [S, B, D]
    w: Tensor  # [S, B, D]
    b: Tensor  # [S, B, 1]

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        wu = (self.w * self.u).sum(-1, keepdim=True)
        squared_norm = self.w.square().sum(-1, keepdim=True)
        # What w'u is moved to. It is not computed from the moved u, which rounds to beyond -1.
        allowed = F.softplus(wu).clamp_min(LEAST_SLOPE) - 1.0
        moved = torch.where(squared_norm > SMALLEST, allowed, wu)
        u = self.u + (moved - wu) * self.w / squared_norm.clamp_min(SMALLEST)
        h = torch.tanh((self.w * z).sum(-1, keepdim=True) + self.b)
        slope = (1.0 - h.square()) * moved
        return z + u * h, torch.log1p(slope)[..., 0]

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        raise no_formula(
            "planar_flow",
            "log q(z|x) at a given z, as the map has no inverse in closed form",
            "choose an objective that needs it only at its own samples, as elbo_mc or iwae, and a "
            "prior other than vamp",
        )

    def stopped(self) -> Planar:
        return Planar(self.u.detach(), self.w.detach(), self.b.detach())


Affine = tuple[Tensor, Tensor]
"""Weight and bias of an affine map."""


@dataclass(frozen=True)
class Autoregressive:
    """z'_d = g_d z_d + (1 - g_d) m_d, gate g and m functions of z_1 .. z_{d-1}; then reversed."""

    hidden: Affine  # masked weight [S, D, H] and bias [S, 1, H]
    out: Affine  # masked weight [S, H, 2D] and bias [S, 1, 2D]
    context: Tensor  # [S, B, H]

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        gate_logit, m = self._conditioner(z)
        gate = torch.sigmoid(gate_logit)
        return (gate * z + (1.0 - gate) * m).flip(-1), F.logsigmoid(gate_logit).sum(-1)

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """One dimension after the other: D evaluations of the network."""
        image = z.flip(-1)
        z = torch.zeros_like(image)
        for d in range(image.shape[-1]):
            gate_logit, m = self._conditioner(z)
            gate = torch.sigmoid(gate_logit)
            # A code far from any draw may shut a gate: then it is as good as impossible, not NaN.
            solved = ((image - (1.0 - gate) * m) / gate).nan_to_num(0.0, FAR, -FAR).clamp(-FAR, FAR)
            z = torch.cat([z[..., :d], solved[..., d:]], -1)
        return z, F.logsigmoid(self._conditioner(z)[0]).sum(-1)

    def stopped(self) -> Autoregressive:
        hidden, out = ((weight.detach(), bias.detach()) for weight, bias in (self.hidden, self.out))
        return Autoregressive(hidden, out, self.context.detach())

    def _conditioner(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Gate logits and means of each dimension, from those before it: [K, S, B, D] twice."""
        hidden = torch.relu(_affine(z, *self.hidden) + self.context)
        gate_logit, m = _affine(hidden, *self.out).chunk(2, -1)
        return gate_logit + OPEN, m


FAR = 1e15
"""Where a pre-image ends: its square is still a number in float32."""
OPEN = 1.5
"""Gates start mostly open, so that a flow starts near the identity (Kingma et al. 2016, 4)."""


def _affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Each run's own affine map: [K, S, N, in] -> [K, S, N, out]."""
    return torch.einsum("ksni,sio->ksno", x, weight) + bias


@posterior(
    source="Rezende & Mohamed 2015, eq. 10 and appendix A.1",
    num_inputs=lambda latent: 2 * latent.dim + latent.flow_steps * (2 * latent.dim + 1),
    about=About(
        formula=r"z_t = z_{t-1} + \hat{u}_t \tanh(w_t^{\top} z_{t-1} + b_t), \qquad \log "
        r"q(z_T|x) = \log q_0(z_0) - \sum_{t=1}^{T} \log \left( 1 + "
        r"\hat{u}_t^{\top} w_t \left( 1 - \tanh^2(w_t^{\top} z_{t-1} + b_t) "
        r"\right) \right)",
        wrong_when="For large codes: each map bends space along one direction. It has no "
        "inverse, so it cannot go with the prior `vamp` or with objectives that "
        "need log q(z|x) at any z.",
        cost="T (2 D + 1) further numbers from the encoder",
        limits=(Limit("diagonal_gaussian", "u and w are 0"),),
    ),
)
def planar_flow(numbers: Tensor, latent: Latent, network: nn.Module | None) -> Flow:
    """Planar maps whose parameters the encoder gives for each x."""
    sizes = [latent.dim, latent.dim, *[latent.dim, latent.dim, 1] * latent.flow_steps]
    mu, log_var, *rest = numbers.split(sizes, dim=-1)
    maps = tuple(Planar(*rest[i : i + 3]) for i in range(0, len(rest), 3))
    return Flow(DiagonalGaussian(mu, log_var), maps)


def _width(latent: Latent) -> int:
    """Hidden units of a masked network."""
    return max(16, 4 * latent.dim)


class MaskedNetworks(nn.Module):
    """One masked network of one hidden layer for each map (MADE, Germain et al. 2015)."""

    def __init__(self, latent: Latent, layers: Layers) -> None:
        super().__init__()
        dim = latent.dim
        self.width = width = _width(latent)
        self.hidden = nn.ModuleList(layers(dim, width) for _ in range(latent.flow_steps))
        self.out = nn.ModuleList(layers(width, 2 * dim) for _ in range(latent.flow_steps))
        inputs, units = torch.arange(1, dim + 1), torch.arange(width) % dim
        # Unit of degree d sees inputs 1 .. d; output d sees the units of degree below d.
        masks = {"sees": inputs[:, None] <= units, "feeds": units[:, None] < inputs.repeat(2)}
        num_runs = next(self.parameters()).shape[0]
        for name, mask in masks.items():
            self.register_buffer(name, mask.float().repeat(num_runs, 1, 1), persistent=False)

    def forward(self, context: Tensor) -> tuple[Map, ...]:
        """The maps for the contexts [S, B, H] of a batch."""
        return tuple(Autoregressive(hidden, out, context) for hidden, out in self.masked())

    def masked(self) -> list[tuple[Affine, Affine]]:
        """The two layers of each map, their weights masked."""
        sees, feeds = self.get_buffer("sees"), self.get_buffer("feeds")
        pairs = zip(self.hidden, self.out, strict=True)
        return [(_masked(hidden, sees), _masked(out, feeds)) for hidden, out in pairs]


def _masked(layer: nn.Module, mask: Tensor) -> Affine:
    weight, bias = layer.weight, layer.bias  # where a step is traced, these are no Parameters
    assert isinstance(weight, Tensor) and isinstance(bias, Tensor)
    return weight * mask, bias


@posterior(
    source="Kingma et al. 2016, eq. 9 to 14",
    num_inputs=lambda latent: 2 * latent.dim + _width(latent),
    network=MaskedNetworks,
    about=About(
        formula=r"z_t = g_t \odot z_{t-1} + (1 - g_t) \odot m_t, \qquad \log q(z_T|x) = "
        r"\log q_0(z_0) - \sum_{t=1}^{T} \sum_{d=1}^{D} \log g_{td}",
        wrong_when="Where log q(z|x) is needed at other codes than its own draws, as by the "
        "prior `vamp` or the grading `aggregate`: the inverse takes D passes.",
        cost="a masked network for each map; D passes through it for log q(z|x) at any other z",
        limits=(
            Limit(
                "diagonal_gaussian",
                "all gates are open; each map then only reverses the dimensions",
            ),
        ),
    ),
)
def iaf(numbers: Tensor, latent: Latent, network: nn.Module | None) -> Flow:
    """Inverse autoregressive maps: masked networks shared by all x, with a context of each x."""
    assert isinstance(network, MaskedNetworks)
    mu, log_var, context = numbers.split([latent.dim, latent.dim, _width(latent)], dim=-1)
    return Flow(DiagonalGaussian(mu, log_var), network(context))
