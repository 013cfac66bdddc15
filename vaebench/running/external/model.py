"""A model trained elsewhere, as the evaluation sees it: a stack of one run.

Its two functions see plain batches: encode takes images [B, P], decode takes codes [n, D].
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from vaebench.core.errors import InputError, first_line
from vaebench.core.user_code import call
from vaebench.data import Dataset
from vaebench.evaluation.likelihood.checked import checked_log_px_z
from vaebench.models.likelihoods import Likelihood
from vaebench.models.likelihoods.counts import library_size
from vaebench.models.posteriors import Distribution, Latent
from vaebench.models.posteriors.gaussian import DiagonalGaussian
from vaebench.models.priors import BoundPrior
from vaebench.ops.noise import Noise

NUM_TRIED = 3
"""Images that a model is tried with before it is graded."""

Encode = Callable[[Tensor], Any]
"""Images [B, P] -> mean and log-variance of q(z|x), [B, D] each, or a Normal over z."""
Decode = Callable[[Tensor], Tensor]
"""Codes [n, D] -> the parameters of the likelihood, m for each of the P pixels: [n, m P]."""


@dataclass(frozen=True)
class ExternalModel:
    """A stack of one run (see `evaluation.Graded`), from two functions, a likelihood and a prior.

    The functions are called with copies. Whatever precision they return is graded as float32.
    """

    encode: Encode
    decode: Decode
    likelihood: Likelihood
    likelihood_hyper: Mapping[str, float]
    bound_prior: BoundPrior
    latent: Latent
    like: Tensor
    num_outputs: int
    """Numbers in a row of decode: P, times the parameters of the likelihood for a pixel."""
    log_volume: float = 0.0
    by_library: bool = False
    """Whether p(x|z) takes the library size of x as known."""
    num_runs: int = 1

    def encoded(self, x: Tensor) -> Tensor:
        """Mean and log-variance of q(z|x), side by side: [1, B, P] -> [1, B, 2D]."""
        return torch.cat(_gaussian(self.encode, x[0], self.latent.dim), -1)[None]

    def distribution(self, numbers: Tensor) -> Distribution:
        """q(z|x) of mean and log-variance [1, B, 2D]."""
        return DiagonalGaussian(*numbers.chunk(2, -1))

    def posterior(self, x: Tensor) -> Distribution:
        """q(z|x) of images [1, B, P]."""
        return self.distribution(self.encoded(x))

    def prior(self) -> BoundPrior:
        """The prior p(z)."""
        return self.bound_prior

    def log_px_z(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x|z) in nats: [1, B, P], [K, 1, B, D] -> [K, 1, B]."""
        log_prob, out = self.likelihood.log_prob, self._outputs_for(x, z)
        return call(log_prob, x, out, **self.likelihood_hyper) - self.log_volume

    def mean_image(self, z: Tensor, x: Tensor | None = None) -> Tensor:
        """The mean of p(x|z): [K, 1, n, D] -> [K, 1, n, P]."""
        return call(self.likelihood.mean, self._outputs_for(x, z))

    def sample_image(self, z: Tensor, noise: Noise, x: Tensor | None = None) -> Tensor:
        """Images drawn from p(x|z): [K, 1, n, D] -> [K, 1, n, P]."""
        return self.likelihood.draw(self._outputs_for(x, z), noise, **self.likelihood_hyper)

    def _outputs_for(self, x: Tensor | None, z: Tensor) -> Tensor:
        """What decode returns, for the library sizes of x where these are taken as known."""
        out = self.outputs(z)
        if x is None or not self.by_library:
            return out
        return self.likelihood.exposed(out, library_size(x))

    def of_run(self, run: int) -> ExternalModel:
        """The model, as there is only one run."""
        return self

    def outputs(self, z: Tensor) -> Tensor:
        """What decode returns, in the precision of z: [K, 1, n, D] -> [K, 1, n, num_outputs]."""
        rows = z.flatten(0, -2)
        out = called("decode", self.decode, rows)
        if not _is_real(out):
            raise InputError(f"decode must give a tensor of real numbers; it gave {_said(out)}")
        if out.numel() != len(rows) * self.num_outputs or out.shape[:1] != rows.shape[:1]:
            raise InputError(
                f"decode must give [{len(rows)}, {self.num_outputs}] for codes of shape "
                f"{tuple(rows.shape)} under likelihood {self.likelihood.name!r}; it gave "
                f"{tuple(out.shape)}"
            )
        # A copy: the next call may overwrite what this one returned.
        return out.to(z, copy=True).reshape(*z.shape[:-1], self.num_outputs)


@torch.no_grad()
def external_model(
    encode: Encode,
    decode: Decode,
    likelihood: Likelihood,
    likelihood_hyper: Mapping[str, float],
    prior: BoundPrior,
    dataset: Dataset,
    device: str,
) -> tuple[ExternalModel, str]:
    """The model, tried on a few test images, and a hash that tells it from others.

    Raises InputError for what cannot be graded: another shape, NaN, parts that still change from
    call to call or with the batch, a log-probability above 0.
    """
    learned = [*likelihood.learned, *likelihood.fitted]
    if learned:
        raise InputError(
            f"likelihood {likelihood.name!r} learns {learned[0]} in training, which a model from "
            f"elsewhere cannot hand over: name one that is told it, as {{name = 'gaussian', "
            f"sigma = 0.1}}"
        )
    x = dataset.observations("test")[:NUM_TRIED].to(device)
    mu, _ = _gaussian(encode, x)
    model = ExternalModel(
        encode,
        decode,
        likelihood,
        likelihood_hyper,
        prior,
        Latent(mu.shape[-1]),
        mu.new_zeros(()),
        dataset.num_pixels * likelihood.outputs_per_pixel,
        dataset.log_volume,
        dataset.by_library,
    )
    return model, _tried(model, x[None])


def _tried(model: ExternalModel, x: Tensor) -> str:
    """Try a model on a few images; returns a hash of its numbers, by which it is told from others.

    Raises InputError where it is no function of its inputs, row by row, or not finite.
    """
    numbers = model.encoded(x)
    z = numbers.chunk(2, -1)[0][None]
    log_px_z, log_pz = checked_log_px_z(model, x, z), model.prior().log_prob(z)
    for what, values in (("encode", numbers), ("log p(x|z)", log_px_z), ("log p(z)", log_pz)):
        if not bool(torch.isfinite(values).all()):
            raise InputError(
                f"{what} must be finite; on the first test images it is not: look for logarithms "
                f"of 0, and logits of probabilities that are 0 or 1"
            )
    fewer = {
        "encode": (model.encoded(x[:, :2]), numbers[:, :2]),
        "decode": (model.log_px_z(x[:, :2], z[:, :, :2]), log_px_z[..., :2]),
    }
    for what, (among_fewer, among_all) in fewer.items():
        if not torch.allclose(among_fewer, among_all, rtol=1e-3, atol=1e-4):
            raise InputError(
                f"{what} must give each image the same whenever it is asked and whatever is beside "
                f"it; it does not: turn dropout and batch statistics off, as model.eval() does"
            )
    seen = torch.cat([numbers.flatten(), log_px_z.flatten(), log_pz.flatten()])
    return hashlib.sha256(seen.double().cpu().numpy().tobytes()).hexdigest()[:12]


def called(what: str, function: Callable[[Tensor], Any], argument: Tensor) -> Any:
    """Call a function of the user's with a copy. Raises InputError where it raises anything."""
    try:
        return function(argument.clone())
    except InputError:
        raise
    except Exception as error:
        dtype = str(argument.dtype).removeprefix("torch.")
        raise InputError(
            f"{what} must take {dtype} of shape {tuple(argument.shape)} on {argument.device}; "
            f"it raised {type(error).__name__}: {first_line(error)}: where it computes in another "
            f"precision, convert within it, as by x.double()"
        ) from error


def _is_real(value: Any) -> bool:
    return isinstance(value, Tensor) and not value.is_complex() and value.layout is torch.strided


def _said(value: Any) -> str:
    """The type and shape of a value, in words."""
    if isinstance(value, Tensor):
        return (
            f"a tensor of {str(value.dtype).removeprefix('torch.')} of shape {tuple(value.shape)}"
        )
    if isinstance(value, tuple | list):
        return f"{type(value).__name__} of {len(value)}: {', '.join(map(_said, value))}"
    return type(value).__name__


def _gaussian(encode: Encode, x: Tensor, dim: int | None = None) -> tuple[Tensor, Tensor]:
    """Mean and log-variance [B, D] that an encoder returns for images [B, P], in their precision.

    Raises InputError where it returns anything else.
    """
    q = called("encode", encode, x)
    if isinstance(q, Independent):
        q = q.base_dist
    if isinstance(q, Normal):
        q = q.loc, 2.0 * q.scale.log()
    match q:
        case (mu, log_var) if _is_real(mu) and _is_real(log_var):
            pass
        case _:
            raise InputError(
                f"encode must give mean and log-variance of q(z|x), two tensors of real numbers, "
                f"or a Normal over z; it gave {_said(q)}: wrap it, as in lambda x: "
                f"(net(x).mu, net(x).log_var)"
            )
    fits = mu.ndim == 2 and len(mu) == len(x) and mu.shape[1] == (dim or max(1, mu.shape[1]))
    if not (fits and mu.shape == log_var.shape):
        raise InputError(
            f"encode must give mean and log-variance of shape [{len(x)}, {dim or 'D'}] for "
            f"{len(x)} images; it gave {tuple(mu.shape)} and {tuple(log_var.shape)}"
        )
    return mu.to(x), log_var.to(x)
