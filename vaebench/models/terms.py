"""Terms: all that an objective may see of one training step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType, ModuleType

import torch
from torch import Tensor, nn

from vaebench import ops
from vaebench.core.errors import InputError
from vaebench.core.hyper import Hyper, Scalar, with_axis
from vaebench.models import VAE
from vaebench.models.posteriors import Distribution, Latent
from vaebench.models.posteriors.conditionals import Layered
from vaebench.models.posteriors.entry import Draw, Drawing, Wanted
from vaebench.models.posteriors.gaussian import DiagonalGaussian
from vaebench.models.priors import STANDARD_NORMAL, BoundPrior
from vaebench.ops import densities
from vaebench.ops.noise import Noise

PRIOR_DRAWS = 1 << 31
"""The number of the sample from which on the noise is that of draws of the prior."""
RATE_WEIGHT = Hyper(low=0.0)
"""What a weight of the rate may be."""
NO_SIZES = Latent(0)
NOTHING_DRAWN = Draw(torch.empty(0))


@dataclass(frozen=True)
class Terms:
    """B examples through K posterior samples of S runs; densities in nats.

    What a choice of posterior and prior has no formula for raises InputError that says what to
    choose instead. Each density is computed where a loss first asks for it, unless it came with
    the draw of the samples (`drawn`).
    """

    q: Distribution
    """q(z|x) of this batch, with its parameters: for a Gaussian mu and log_var [S, B, D]."""
    z: Tensor  # [K, S, B, D] samples of q(z|x)
    log_px_z: Tensor  # [K, S, B]
    prior: BoundPrior = STANDARD_NORMAL
    rate_weight: Scalar = 1.0
    """The warm-up of the training loop: see `weighted_rate`. Evaluation leaves it at 1."""
    layer_weights: tuple[Scalar, ...] = ()
    """A weight on the rate of each layer of latents, in place of one for all."""
    num_examples: int = 0
    """N: size of the training part, for estimates of the aggregate posterior."""
    latent: Latent = NO_SIZES
    family: str = "diagonal_gaussian"
    """The name of the posterior, for messages."""
    noise: Noise | None = None
    auxiliary: nn.Module | None = None
    """The network that the objective declares, trained beside the model: [S, n, D] -> [S, n, ·]."""
    drawn: Draw = NOTHING_DRAWN
    """The samples with the densities and the KL that were computed in the same pass."""

    @property
    def shape(self) -> torch.Size:
        """(S, B): the shape of every loss."""
        return self.log_px_z.shape[1:]

    @property
    def num_samples(self) -> int:
        """K, the number of posterior samples."""
        return self.log_px_z.shape[0]

    @property
    def size_of_data(self) -> int:
        """N, the examples of the training part. Raises InputError where they were not said."""
        if not self.num_examples:
            raise InputError(
                "an estimate of the aggregate posterior needs the size of the training part: give "
                "num_examples=len(x_train)"
            )
        return self.num_examples

    @property
    def decoded(self) -> Tensor:
        """The samples as the decoder was given them, through which log p(x|z) has its gradient."""
        return self.z

    @property
    def mu(self) -> Tensor:
        """The mean of q(z|x): [S, B, D]."""
        return self.q.mean

    @property
    def log_var(self) -> Tensor:
        """The log-variance of each dimension of q(z|x): [S, B, D]."""
        return self.q.log_var

    def weighted_rate(self, rate: Tensor, *, per_dimension: bool = False) -> Tensor:
        """A rate, or an estimate or a part of one, under the weight of the warm-up.

        The one place where that weight is applied: an objective whose loss has a rate takes it from
        here or from a quantity below that is weighted already, so that a warm-up reaches it.
        Shapes: [S, B], or [K, S, B] of samples, or [L, S, B] of layers; `per_dimension`: [S, B, D].
        Raises InputError where each layer has a weight of its own, which no whole has.
        """
        if self.layer_weights:
            raise InputError(
                "the rate has a weight for each layer, and this objective weighs it as a whole: "
                "give rate_weight one number, or choose elbo, elbo_mc, iwae or dreg"
            )
        return (with_axis(self.rate_weight) if per_dimension else self.rate_weight) * rate

    # ------------------------------------------------------------------ densities of the samples

    @cached_property
    def log_pz(self) -> Tensor:
        """log p(z) of each sample: [K, S, B]."""
        drawn = self.drawn.log_standard_normal if _is_standard(self.prior) else None
        return self.prior.log_prob(self.z) if drawn is None else drawn

    @cached_property
    def log_qz_x(self) -> Tensor:
        """log q(z|x) of each sample: [K, S, B]."""
        return self.q.log_prob(self.z) if self.drawn.log_qz_x is None else self.drawn.log_qz_x

    @cached_property
    def log_qz_x_path(self) -> Tensor:
        """log q(z|x) with its gradient through z alone, not through q's parameters: [K, S, B]."""
        drawn = self.drawn.log_qz_x_path
        return self.q.stopped().log_prob(self.z) if drawn is None else drawn

    @cached_property
    def log_qz_x_score(self) -> Tensor:
        """log q(z|x) with its gradient through q's parameters alone, not through z: [K, S, B]."""
        return self.q.log_prob(self.z.detach())

    @cached_property
    def log_ratio(self) -> Tensor:
        """log p(z) - log q(z|x) of each sample, not weighted: [K, S, B]."""
        return self.log_pz - self.log_qz_x

    @property
    def log_ratio_path(self) -> Tensor:
        """log p(z) - log q(z|x) of each sample, q's parameters stopped, not weighted: [K, S, B]."""
        return self.log_pz - self.log_qz_x_path

    @property
    def weighted_log_ratio(self) -> Tensor:
        """The log ratio under its weight, or that of each layer under its own: [K, S, B]."""
        return self._of_layers(self.q) if self.layer_weights else self.weighted_rate(self.log_ratio)

    @property
    def weighted_log_ratio_path(self) -> Tensor:
        """The same, q's parameters stopped: [K, S, B]."""
        if self.layer_weights:
            return self._of_layers(self.q.stopped())
        return self.weighted_rate(self.log_ratio_path)

    def weighted_log_qz_x_score(self, score: Tensor) -> Tensor:
        """`score` times the weighted log q(z|x), its gradient not through z: [K, S, B] twice."""
        if self.layer_weights:
            log_q = _log_prob_of_layers(self.q, self.z.detach())
            return score * _sum_of(self.layer_weights, log_q)
        return self.weighted_rate(score) * self.log_qz_x_score

    def _of_layers(self, q: Distribution) -> Tensor:
        """The log ratio of every layer under its weight: [K, S, B]."""
        log_q, log_p = _log_prob_of_layers(q, self.z), self.prior.log_prob_of_layers(self.z)
        assert log_p is not None, "weights of layers are for a prior that has layers"
        ratios = [log_p - log_q for log_p, log_q in zip(log_p, log_q, strict=True)]
        return _sum_of(self.layer_weights, ratios)

    @cached_property
    def log_w(self) -> Tensor:
        """Log importance weights, log p(x|z) plus the weighted log ratio: [K, S, B]."""
        return self.log_px_z + self.weighted_log_ratio

    @cached_property
    def log_w_path(self) -> Tensor:
        """Log importance weights with q's parameters stopped: [K, S, B]."""
        return self.log_px_z + self.weighted_log_ratio_path

    # ------------------------------------------------------------------ rate and distortion

    @cached_property
    def distortion(self) -> Tensor:
        """-E_q[log p(x|z)], averaged over the samples: [S, B]."""
        return -self.log_px_z.mean(0)

    @cached_property
    def kl(self) -> Tensor:
        """KL[q(z|x) || p(z)] in closed form, not weighted: [S, B]."""
        kl = self.closed_form_kl
        if kl is None:
            raise InputError(
                f"KL[q(z|x) || p(z)] has no closed form for {self._pair}: "
                f"choose elbo_mc, which samples it"
            )
        return kl

    @property
    def closed_form_kl(self) -> Tensor | None:
        """KL[q(z|x) || p(z)] [S, B], or None where there is no formula."""
        drawn = self.drawn.kl_to_standard_normal if _is_standard(self.prior) else None
        if self.kl_of_layers is not None:
            drawn = self.kl_of_layers.sum(0)
        return self.prior.kl(self.q) if drawn is None else drawn

    @property
    def kl_of_layers(self) -> Tensor | None:
        """The KL of each layer [L, S, B], in closed form given the layer above and averaged over
        samples of that; None where there is no formula."""
        return self.drawn.kl_of_layers if self.prior.entry.layered else None

    @cached_property
    def kl_or_estimate(self) -> Tensor:
        """The KL in closed form, or the mean of log q(z|x) - log p(z) where there is none: [S, B].

        For grades and curves; an objective says which of the two it means.
        """
        kl = self.closed_form_kl
        return -self.log_ratio.mean(0) if kl is None else kl

    @cached_property
    def rate(self) -> Tensor:
        """KL[q(z|x) || p(z)], weighted: [S, B]."""
        return self.rate_of_layers.sum(0) if self.layer_weights else self.weighted_rate(self.kl)

    @cached_property
    def rate_of_layers(self) -> Tensor:
        """The KL of each layer under its weight, [L, S, B]; of one layer [1, S, B]."""
        whole, of_layers = self.kl, self.kl_of_layers
        if of_layers is None:
            return self.weighted_rate(whole)[None]
        if not self.layer_weights:
            return self.weighted_rate(of_layers)
        each = zip(self.layer_weights, of_layers, strict=True)
        return torch.stack([weight * kl for weight, kl in each])

    @cached_property
    def rate_per_dimension(self) -> Tensor:
        """The weighted KL of each latent dimension: [S, B, D]."""
        parts = self.prior.kl_per_dimension(self.q)
        if parts is None:
            raise InputError(
                f"the KL does not split over dimensions for {self._pair}: "
                f"choose posterior 'diagonal_gaussian' and prior 'standard_normal'"
            )
        return self.weighted_rate(parts, per_dimension=True)

    # ------------------------------------------------------------------ the aggregate posterior

    @cached_property
    def pairwise_log_q(self) -> Tensor:
        """log q(z_i[d] | x_j) of every code i and example j, by dimension: [K, S, B, B, D]."""
        q = self.q
        if not isinstance(q, DiagonalGaussian):
            raise InputError(
                "densities of the aggregate posterior by dimension need one that is independent "
                f"over dimensions; got {self.family!r}: choose posterior 'diagonal_gaussian'"
            )
        return densities.gaussian_log_prob(
            self.z[..., :, None, :, None], q.mu[:, None, :, :, None], q.log_var[:, None, :, :, None]
        )

    @cached_property
    def prior_z(self) -> Tensor:
        """Codes drawn from the prior, as many as there are examples: [S, B, D]."""
        assert self.noise is not None, "terms that are not of a step hold no prior draws"
        noise = self.noise.at(sample=self.noise.first_sample + PRIOR_DRAWS)
        return self.prior.sample(noise, self.shape[1], self.latent).to(self.z)

    def judge(self, z: Tensor) -> Tensor:
        """The auxiliary network's outputs for codes [S, n, D], its own parameters stopped."""
        if self.auxiliary is None:
            raise InputError(
                "there is no auxiliary network: the objective must declare it (auxiliary=...)"
            )
        stopped = {name: p.detach() for name, p in self.auxiliary.named_parameters()}
        outputs: Tensor = torch.func.functional_call(self.auxiliary, stopped, (z,))
        return outputs

    @property
    def _pair(self) -> str:
        return f"posterior {self.family!r} and prior {self.prior.entry.name!r}"


def _log_prob_of_layers(q: Distribution, z: Tensor) -> list[Tensor]:
    assert isinstance(q, Layered), "weights of layers are for a posterior that has layers"
    return q.log_prob_of_layers(z)


def _sum_of(weights: Sequence[Scalar], values: Sequence[Tensor]) -> Tensor:
    """The weighted sum over layers: [K, S, B]."""
    each = [weight * value for weight, value in zip(weights, values, strict=True)]
    return torch.stack(each).sum(0)


def _is_standard(prior: BoundPrior) -> bool:
    return prior.entry.name == STANDARD_NORMAL.entry.name  # a copied model has a copy of its entry


def compute_terms(
    model: VAE,
    x: Tensor,
    noise: Noise,
    *,
    num_samples: int = 1,
    rate_weight: Scalar = 1.0,
    layer_weights: tuple[Scalar, ...] = (),
    posterior_hyper: Mapping[str, Scalar] = MappingProxyType({}),
    num_examples: int = 0,
    training: bool = False,
    wanted: Wanted = "kl",
    operations: ModuleType = ops,
) -> Terms:
    """Encode x [S, B, P], draw K samples, decode.

    `training` takes relaxed samples and closed-form fits of the batch where the model has such.
    `wanted`: what to compute in the same pass as the samples; an objective declares it as `draws`,
    and any other choice gives the same terms, later. `operations`: `ops`, or the reference,
    `ops.densities`.
    """
    step = noise if training else None
    q, prior = model.posterior(x, step, **posterior_hyper), model.prior(step)
    if not _is_standard(prior):
        wanted = "kl"
    draw = q.draw(Drawing(noise, num_samples, operations, relaxed=training, wanted=wanted))
    return Terms(
        q,
        draw.z,
        model.log_px_z(x, draw.z, step=step),
        prior,
        rate_weight=rate_weight,
        layer_weights=layer_weights,
        num_examples=num_examples or x.shape[1],
        latent=model.family.latent,
        family=model.family.posterior.name,
        noise=noise,
        auxiliary=model.auxiliary,
        drawn=draw,
    )
