"""Every log-density and divergence, written once, in plain PyTorch, in nats.

Axes: K posterior samples, S stacked runs, B examples, D latent dimensions, P pixels. Densities
reduce the last axis. Everything broadcasts, and float64 in gives float64 out.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from vaebench.ops.noise import Noise, normals

LOG_2PI = math.log(2.0 * math.pi)
NUM_LEVELS = 256
"""The levels of 8-bit images, whose intensities are k / 255."""


def gaussian_log_prob(x: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    """log N(x; mu, diag(exp(log_var))): [..., D] -> [...].

    log_var may be narrower than x: one value for all D counts D times.
    """
    log_det = log_var.expand(*log_var.shape[:-1], x.shape[-1]).sum(-1)
    squares = ((x - mu) * torch.exp(-0.5 * log_var)).square().sum(-1)
    return -0.5 * (squares + log_det + x.shape[-1] * LOG_2PI)


def standard_normal_log_prob(z: Tensor) -> Tensor:
    """log N(z; 0, I): [..., D] -> [...]."""
    return -0.5 * (z.square().sum(-1) + z.shape[-1] * LOG_2PI)


def bernoulli_log_prob(x: Tensor, logits: Tensor) -> Tensor:
    """log prod_p Bernoulli(x_p; sigmoid(logits_p)): [..., P] -> [...]. x in {0, 1}."""
    x = x.expand_as(logits)
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)


def gaussian_kl_per_dimension(mu: Tensor, log_var: Tensor) -> Tensor:
    """KL[N(mu_d, exp(log_var_d)) || N(0, 1)] of each dimension: [..., D] -> [..., D].

    Kingma & Welling 2014, appendix B. expm1 keeps the digits where log_var is near 0.
    """
    return 0.5 * (mu.square() + torch.expm1(log_var) - log_var)


def gaussian_kl_between(mu: Tensor, log_var: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL[N(mu, diag(exp(log_var))) || N(mean, diag(exp(log_variance)))]: [..., D] -> [...]."""
    scaled = (mu - mean) * torch.exp(-0.5 * log_variance)
    return gaussian_kl(scaled, log_var - log_variance)


def log_mean_decay(t: Tensor) -> Tensor:
    """log((1 - exp(-t)) / t), the log of the mean of exp(-tu) over u in [0, 1]: t >= 0, same shape.

    Below 0.2 a Taylor series, off by less than 1e-15, without the cancellation and the 0/0 at 0.
    """
    large = t.clamp(min=0.2)
    exact = torch.log(-torch.expm1(-large)) - torch.log(large)
    s = (0.5 * t.clamp(max=0.2)).square()
    series = s * (1 / 6 - s * (1 / 180 - s * (1 / 2835 - s / 37800)))
    return torch.where(t > 0.2, exact, series - 0.5 * t)


def continuous_bernoulli_log_prob(x: Tensor, logits: Tensor) -> Tensor:
    """log prod_p of l_p / (exp(l_p) - 1) * exp(x_p l_p) for x in [0, 1]: [..., P] -> [...].

    Written from the end of [0, 1] where the mode is, so that nothing large cancels.
    """
    from_mode = torch.where(logits > 0, 1.0 - x, x)
    # abs would lose the gradient at 0; both branches agree there, and so do their slopes.
    rate = torch.where(logits > 0, logits, -logits)
    return -(from_mode * rate + log_mean_decay(rate)).sum(-1)


def continuous_bernoulli_mean(logits: Tensor) -> Tensor:
    """1 / (1 - exp(-logits)) - 1 / logits: same shape. Near 0 a Taylor series, as above."""
    rate = logits.abs()
    large, t = rate.clamp(min=0.2), rate.clamp(max=0.2)
    exact = 1.0 / large + torch.exp(-large) / torch.expm1(-large)
    s = t.square()
    series = 0.5 - t * (1 / 12 - s * (1 / 720 - s * (1 / 30240 - s / 1209600)))
    from_mode = torch.where(rate > 0.2, exact, series)
    return torch.where(logits > 0, 1.0 - from_mode, from_mode)


def laplace_log_prob(x: Tensor, loc: Tensor, log_scale: Tensor) -> Tensor:
    """log prod_p of exp(-|x_p - loc_p| / scale) / (2 scale): [..., P] -> [...]."""
    distance = (x - loc).abs() * torch.exp(-log_scale)
    return -(distance + log_scale + math.log(2.0)).sum(-1)


def beta_log_prob(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """log prod_p Beta(x_p; a_p, b_p) for x in the open (0, 1): [..., P] -> [...].

    In float32 the constant loses digits as a + b grows: 0.001 nats per pixel at 1000.
    """
    constant = torch.lgamma(a + b) - torch.lgamma(a) - torch.lgamma(b)
    return ((a - 1.0) * x.log() + (b - 1.0) * torch.log1p(-x) + constant).sum(-1)


def categorical_log_prob(value: Tensor, logits: Tensor) -> Tensor:
    """log prod_p softmax(logits_p)[value_p]: integers [..., P], logits [..., C, P] -> [...]."""
    at = value.long().unsqueeze(-2).expand(*logits.shape[:-2], 1, -1)
    return (logits.gather(-2, at).squeeze(-2) - logits.logsumexp(-2)).sum(-1)


def nearest_level(x: Tensor) -> Tensor:
    """k of the level k / 255 nearest to each intensity, as a whole float: same shape."""
    return torch.round((NUM_LEVELS - 1) * x)


def on_levels(x: Tensor) -> bool:
    """Whether every intensity is one of the 256 levels k / 255, up to the rounding of float32."""
    near = ((NUM_LEVELS - 1) * x - nearest_level(x)).abs() < 1e-4
    return bool((near & (x >= 0) & (x <= 1)).all())


def discretised_logistic_log_prob(x: Tensor, loc: Tensor, log_scale: Tensor) -> Tensor:
    """log prod_p of the mass that Logistic(loc_p, scale_p) gives the bin of x_p: [..., P] -> [...].

    The bins lie around the levels k / 255 and are 1/255 wide; the outermost take the tails.
    """
    return _log_bin_mass(x, loc, log_scale).sum(-1)


def discretised_logistic_mixture_log_prob(
    x: Tensor, logits: Tensor, loc: Tensor, log_scale: Tensor
) -> Tensor:
    """Log-probability of a mixture of M discretised logistics: x [..., P], [..., M, P] -> [...]."""
    log_mass = _log_bin_mass(x.unsqueeze(-2), loc, log_scale)
    return torch.logsumexp(logits.log_softmax(-2) + log_mass, -2).sum(-1)


def discretised_logistic_mean(loc: Tensor, log_scale: Tensor) -> Tensor:
    """The mean of the discretised logistic, exactly: the sum of P(x > t) / 255 over the 255 edges t
    between bins, one at a time to save memory; same shape.
    """
    inverse = torch.exp(-log_scale)
    total = torch.zeros_like(loc)
    for k in range(NUM_LEVELS - 1):
        total += torch.sigmoid((loc - (k + 0.5) / (NUM_LEVELS - 1)) * inverse)
    return total / (NUM_LEVELS - 1)


def _log_bin_mass(x: Tensor, loc: Tensor, log_scale: Tensor) -> Tensor:
    """log(F(upper edge) - F(lower edge)) for the logistic F: elementwise.

    F(b) - F(a) = F(b) (1 - F(a)) (1 - exp(a - b)), so that no bin is too narrow or too far out.
    Salimans et al. 2017, eq. 2, computed without the approximation for narrow bins.
    """
    half, inverse = 0.5 / (NUM_LEVELS - 1), torch.exp(-log_scale)
    below_upper = F.logsigmoid((x + half - loc) * inverse)
    above_lower = F.logsigmoid((loc - x + half) * inverse)
    log_width = math.log(2.0 * half) - log_scale
    inside = below_upper + above_lower + log_width + log_mean_decay(log_width.exp())
    return torch.where(x < half, below_upper, torch.where(x > 1.0 - half, above_lower, inside))


def gaussian_kl(mu: Tensor, log_var: Tensor) -> Tensor:
    """KL[N(mu, diag(exp(log_var))) || N(0, I)]: [..., D] -> [...]."""
    return gaussian_kl_per_dimension(mu, log_var).sum(-1)


def cholesky_gaussian_log_prob(x: Tensor, mu: Tensor, cholesky: Tensor) -> Tensor:
    """log N(x; mu, L L'): x [..., D], lower triangular L [..., D, D] -> [...]."""
    whitened = torch.linalg.solve_triangular(cholesky, (x - mu)[..., None], upper=False)[..., 0]
    log_det = cholesky.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return standard_normal_log_prob(whitened) - log_det


def cholesky_gaussian_kl(mu: Tensor, cholesky: Tensor) -> Tensor:
    """KL[N(mu, L L') || N(0, I)]: mu [..., D], lower triangular L [..., D, D] -> [...]."""
    log_det = cholesky.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    trace = cholesky.square().sum((-1, -2))
    return 0.5 * (trace + mu.square().sum(-1) - mu.shape[-1]) - log_det


def gaussian_mixture_log_prob(
    x: Tensor, log_weights: Tensor, mu: Tensor, log_var: Tensor
) -> Tensor:
    """log sum_c w_c N(x; mu_c, diag(exp(log_var_c))): x [..., B, D] -> [..., B].

    There are C components: log_weights [..., 1, C], normalised; mu and log_var [..., C, D].
    """
    parts = gaussian_log_prob(
        x.unsqueeze(-2), mu.unsqueeze(-3), log_var.unsqueeze(-3)
    )  # [..., B, C]
    return torch.logsumexp(parts + log_weights, -1)


def categorical_kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL[p || q] of normalised discrete distributions over C values: [..., C] -> [...].

    A value that p never takes adds nothing, whatever q gives it.
    """
    p = log_p.exp()
    return torch.where(p > 0, p * (log_p - log_q), torch.zeros_like(p)).sum(-1)


def log_mean_exp(log_w: Tensor, dim: int = 0) -> Tensor:
    """log (1/K) sum_k exp(log_w_k), by default over the sample axis: [K, ...] -> [...]."""
    return torch.logsumexp(log_w, dim) - math.log(log_w.shape[dim])


def importance_weights(log_w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log-mean-exp [S, B], normalised weights [K, S, B], effective sample size [S, B].

    log_w is [K, S, B]. Only the first carries a gradient, which is the weights (Burda et
    al. 2016, section 3). The size is 1 / sum_k weight_k^2: from 1 to K.
    """
    weights = torch.softmax(log_w.detach(), 0)
    return log_mean_exp(log_w), weights, 1.0 / weights.square().sum(0)


def log_power_mean(log_w: Tensor, power: float | Tensor) -> Tensor:
    """(1/p) log (1/K) sum_k w_k^p over the sample axis: [K, ...] -> [...]. At p = 0 the mean log w.

    Where p log w varies little, from the mean and the rest by expm1, which keeps its digits.
    """
    p = torch.as_tensor(power, dtype=log_w.dtype, device=log_w.device)
    divisor = torch.where(p == 0, torch.ones_like(p), p)
    mean = log_w.mean(0)
    rest = p * (log_w - mean)
    near = rest.abs().amax(0) < 0.5
    small = torch.where(near, rest, torch.zeros_like(rest))
    by_rest = mean + torch.log1p(torch.expm1(small).mean(0)) / divisor
    return torch.where(near, by_rest, log_mean_exp(divisor * log_w) / divisor)


def reparameterise(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    """z = mu + exp(log_var / 2) * eps: [S, B, D], [K, S, B, D] -> [K, S, B, D].

    Kingma & Welling 2014, section 2.4.
    """
    return mu + torch.exp(0.5 * log_var) * eps


def reparameterise_kl(
    mu: Tensor, log_var: Tensor, noise: Noise, num_samples: int = 1
) -> tuple[Tensor, Tensor]:
    """z [K, S, B, D] drawn with the given noise, and the KL to N(0, I) [S, B]; from [S, B, D]."""
    eps = normals(noise, num_samples, *mu.shape[-2:]).to(mu)
    return reparameterise(mu, log_var, eps), gaussian_kl(mu, log_var)


def reparameterise_kl_per_dimension(
    mu: Tensor, log_var: Tensor, noise: Noise, num_samples: int = 1
) -> tuple[Tensor, Tensor]:
    """Samples as by reparameterise_kl, with the KL of each dimension: [S, B, D]."""
    eps = normals(noise, num_samples, *mu.shape[-2:]).to(mu)
    return reparameterise(mu, log_var, eps), gaussian_kl_per_dimension(mu, log_var)


def reparameterise_log_probs(
    mu: Tensor, log_var: Tensor, noise: Noise, num_samples: int = 1, *, path: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """z [K, S, B, D], log q(z|x) and log p(z), standard normal, [K, S, B]; from [S, B, D].

    `path`: the gradient of log q(z|x) comes through z alone, q's own parameters held fixed (Roeder
    et al. 2017).
    """
    eps = normals(noise, num_samples, *mu.shape[-2:]).to(mu)
    z = reparameterise(mu, log_var, eps)
    q = (mu.detach(), log_var.detach()) if path else (mu, log_var)
    # As in the fused versions, what is done to the gradient of the z that is returned does not
    # reach that of the densities: it is a tensor of its own.
    return z.view_as(z), gaussian_log_prob(z, *q), standard_normal_log_prob(z)


def mean_kernel(x: Tensor, y: Tensor, kernel: Callable[[Tensor], Tensor], same: bool) -> Tensor:
    """The mean of k(|x_i - y_j|^2) over pairs: [..., B, D] twice -> [...].

    `same`: y is x, and the pairs are those of different points.
    """
    norms = x.square().sum(-1)[..., :, None] + y.square().sum(-1)[..., None, :]
    values = kernel((norms - 2.0 * x @ y.mT).clamp_min(0.0))
    num = x.shape[-2]
    if not same:
        return values.mean((-1, -2))
    off_diagonal = values.sum((-1, -2)) - values.diagonal(dim1=-2, dim2=-1).sum(-1)
    return off_diagonal / (num * (num - 1))


def squared_mmd(x: Tensor, y: Tensor, kernel: Callable[[Tensor], Tensor]) -> Tensor:
    """The unbiased estimate of MMD^2 from B points of each: [..., B, D] twice -> [...].

    Gretton et al. 2012, eq. 3. `kernel`: squared distances -> similarities. It may be below 0.
    """
    within = mean_kernel(x, x, kernel, same=True) + mean_kernel(y, y, kernel, same=True)
    return within - 2.0 * mean_kernel(x, y, kernel, same=False)
