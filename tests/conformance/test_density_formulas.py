"""The printed formulas of likelihoods, KL terms, flows and priors are those of the code."""

import itertools
import math

import numpy as np
import pytest
import torch

from tests.support.by_hand import D, log_normal, numbers
from tests.support.latex import evaluate, from_1, right_side
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.networks.layers import StackedLinear
from vaebench.models.posteriors import POSTERIORS, Drawing, Latent
from vaebench.models.priors import PRIORS
from vaebench.ops import densities
from vaebench.ops.noise import Noise, normals

BUILT_IN = [*LIKELIHOODS]
P = 3


def soft_floor(raw, low):
    return low + math.log1p(math.exp(raw - low))


def softly_between(raw, low, high):
    return -soft_floor(-soft_floor(raw, low), -high)


def logistic(x):
    return 1.0 / (1.0 + math.exp(-x))


def tailed(edge):
    """The logistic function, 1 beyond the last level and 0 before the first, as the text says."""
    return logistic(edge)


def of_location(out, sigma):
    return {"m": from_1(out), r"\sigma": sigma}


def of_mixture(out):
    logits, loc, raw = np.split(out, 3)
    weights = np.exp(logits.reshape(5, P)) / np.exp(logits.reshape(5, P)).sum(0)
    scales = np.vectorize(lambda r: math.exp(soft_floor(r, -7.7)))(raw.reshape(5, P))
    return {
        r"\pi": from_1(weights.T),
        "m": from_1(loc.reshape(5, P).T),
        "s": from_1(scales.T),
        "F(": tailed,
    }


def of_counts(out):
    log_mean, raw = out[:P], out[P : 2 * P]
    sizes = [math.exp(softly_between(r, -5.0, 20.0)) for r in raw]
    return {"m": from_1(np.exp(log_mean)), "r": from_1(sizes)}


def of_inflated(out):
    m, r = (of_counts(out)[name] for name in "mr")

    def mass(at):
        text = r"\frac{\Gamma(x_p + r_p)}{\Gamma(r_p) x_p!} (\frac{r_p}{r_p + m_p})^{r_p} "
        return evaluate(text + r"(\frac{m_p}{r_p + m_p})^{x_p}", {**at, "m": m, "r": r})

    return {r"\pi": from_1([logistic(o) for o in out[2 * P :]]), r"\mathrm{NB}(x_p;m_p,r_p)": mass}


def of_halves(first, low):
    """Symbols of a location and a scale, the second half of the outputs through a soft floor."""
    return lambda out: {
        "m": from_1(out[:P]),
        first: from_1([math.exp(soft_floor(r, low)) for r in out[P:]]),
        "F(": tailed,
    }


def of_shapes(out):
    return {
        "a": from_1([soft_floor(o, 0.1) for o in out[:P]]),
        "b": from_1([soft_floor(o, 0.1) for o in out[P:]]),
    }


def of_classes(out):
    logits = out.reshape(256, P)
    return {"o": {(p + 1, c): logits[c, p] for p in range(P) for c in range(256)}}


INSIDE = (0.2, 0.5, 0.9)
LEVELS = tuple(k / 255.0 for k in (20, 128, 254))
COUNTED = (0.0, 2.0, 7.0)
OF_LIKELIHOODS = {
    "bernoulli": ((0.0, 1.0, 1.0), {}, lambda out: {r"\rho": from_1([*map(logistic, out)])}),
    "continuous_bernoulli": (INSIDE, {}, lambda out: {"o": from_1(out)}),
    "beta": (INSIDE, {}, of_shapes),
    "poisson": (COUNTED, {}, lambda out: {"m": from_1(np.exp(out))}),
    "negative_binomial": (COUNTED, {}, of_counts),
    "zero_inflated_negative_binomial": (COUNTED, {}, of_inflated),
    "discretised_logistic": (LEVELS, {}, of_halves("s", -7.7)),
    "discretised_logistic_mixture": (LEVELS, {}, of_mixture),
    "categorical": (LEVELS, {}, of_classes),
    "gaussian": (INSIDE, {"sigma": 0.3}, lambda out: of_location(out, 0.3)),
    "gaussian_learned": (INSIDE, {"log_sigma": -0.7}, lambda out: of_location(out, math.exp(-0.7))),
    "gaussian_optimal": (INSIDE, {"log_sigma": -0.7}, lambda out: of_location(out, math.exp(-0.7))),
    "gaussian_per_pixel": (INSIDE, {}, of_halves(r"\sigma", -6.0)),
    "laplace": (INSIDE, {"scale": 0.4}, lambda out: {"m": from_1(out), "b": 0.4}),
    "student_t": (INSIDE, {"df": 4.5}, lambda out: {**of_halves("s", -6.0)(out), r"\nu": 4.5}),
}
"""Data, parameters, and the symbols that the decoder's outputs become; built-in entries alone."""


@pytest.mark.parametrize("name", OF_LIKELIHOODS)
def test_a_likelihood_is_its_formula(name):
    entry = LIKELIHOODS[name]
    x, parameters, symbols = OF_LIKELIHOODS[name]
    out = 0.5 * numbers(21, entry.outputs_per_pixel * P)
    log_px_z = entry.log_prob(
        torch.tensor(x, dtype=torch.float64).expand(1, 1, P), out.expand(1, 1, 1, -1), **parameters
    )
    values = {"P": P, "e": math.e, "x": from_1(x), r"\pi": math.pi, **symbols(out.numpy())}
    text = right_side(entry.about.formula)
    assert evaluate(text, values) == pytest.approx(float(log_px_z), rel=1e-9)


def test_every_likelihood_has_its_formula_evaluated():
    assert [*OF_LIKELIHOODS] == BUILT_IN


def test_the_optimal_sigma_is_its_formula():
    entry = LIKELIHOODS["gaussian_optimal"]
    x, out = numbers(22, 1, 2, P), numbers(23, 4, 1, 2, P)
    at = [dict(zip("kbp", i, strict=True)) for i in itertools.product(*map(range, (4, 2, P)))]
    values = {
        "K": 4,
        "B": 2,
        "P": P,
        "over k,b,p": lambda _: at,
        "x": {i: float(v) for i, v in np.ndenumerate(x[0].numpy())},
        "m": {i: float(v) for i, v in np.ndenumerate(out[:, 0].numpy())},
    }
    fitted = entry.fitted["log_sigma"](x, out).exp().square()
    assert evaluate(right_side(entry.about.formula, 1), values) == pytest.approx(float(fitted))


# ------------------------------------------------------------------ KL terms and priors

LATENT = Latent(dim=D, num_classes=4)


def test_the_kl_of_a_gaussian_is_its_formula():
    entry = POSTERIORS["diagonal_gaussian"]
    q = entry.distribution(numbers(24, 1, 1, 2 * D), LATENT, None)
    values = {
        "D": D,
        r"\mu": from_1(q.mu[0, 0]),
        r"\sigma": from_1((0.5 * q.log_var[0, 0]).exp()),
    }
    kl = PRIORS["standard_normal"].kl(q)
    assert evaluate(right_side(entry.about.formula, 1), values) == pytest.approx(float(kl))


def test_the_kl_of_a_full_gaussian_is_its_formula():
    entry = POSTERIORS["full_gaussian"]
    q = entry.distribution(numbers(24, 1, 1, entry.num_inputs(LATENT)), LATENT, None)
    triangle = q.cholesky[0, 0].numpy()
    values = {
        "D": D,
        r"\mu": q.mu[0, 0].numpy(),
        "L": from_1(triangle),
        r"\mathrm{tr}(LL^{\top})": float(np.trace(triangle @ triangle.T)),
    }
    kl = PRIORS["standard_normal"].kl(q)
    assert evaluate(right_side(entry.about.formula, 1), values) == pytest.approx(float(kl))


def start_and_end(q):
    """One code of a flow before its maps, the density there, and what the flow draws."""
    drawing = Drawing(Noise((7,)), 1, densities)
    eps = normals(drawing.noise, 1, 1, D).double()
    z = q.base.mu + (0.5 * q.base.log_var).exp() * eps
    return z.flatten().numpy(), float(q.base.log_prob(z).exp()), q.draw(drawing)


def test_planar_maps_are_their_formula():
    """Two maps of one code; u is moved as appendix A.1 of the paper says."""
    latent = Latent(dim=D, flow_steps=2)
    numbers_of_q = numbers(31, 1, 1, POSTERIORS["planar_flow"].num_inputs(latent))
    q = POSTERIORS["planar_flow"].distribution(numbers_of_q, latent, None)
    of_maps = numbers_of_q.flatten()[2 * D :].numpy().reshape(2, -1)
    z, density, drawn = start_and_end(q)
    inner, squares = {}, {}
    for t in (1, 2):
        u, w, (b,) = np.split(of_maps[t - 1], [D, 2 * D])
        moved = u + (math.log1p(math.exp(w @ u)) - 1.0 - w @ u) * w / (w @ w)
        inner[t,], squares[t,] = w @ moved, math.tanh(w @ z + b) ** 2
        z = z + moved * math.tanh(w @ z + b)
    text = right_side(POSTERIORS["planar_flow"].about.formula, 1)
    products = {r"\hat{u}_t^{\top} w_t": "u_t", r"\tanh^2(w_t^{\top} z_{t-1} + b_t)": "h_t"}
    for vectors, number in products.items():
        assert vectors in text
        text = text.replace(vectors, number)
    values = {"T": 2, "q_0(z_0)": density, "u": inner, "h": squares}
    assert drawn.z.flatten().tolist() == pytest.approx(z.tolist())
    assert evaluate(text, values) == pytest.approx(float(drawn.log_qz_x))


def test_autoregressive_maps_are_their_formula():
    """Two maps, each of which reverses the dimensions for the next."""
    latent = Latent(dim=D, flow_steps=2)
    entry = POSTERIORS["iaf"]
    network = entry.network(latent, lambda *sizes: StackedLinear(*sizes, Noise((7,)))).double()
    network.requires_grad_(False)
    q = entry.distribution(numbers(32, 1, 1, entry.num_inputs(latent)), latent, network)
    z, density, drawn = start_and_end(q)
    gates = {}
    for t, step in enumerate(q.maps, 1):
        logits, means = (
            each.flatten().numpy()
            for each in step._conditioner(torch.tensor(z).expand(1, 1, 1, -1))
        )
        gates |= {(t, d + 1): logistic(logit) for d, logit in enumerate(logits)}
        g = np.array([gates[t, d + 1] for d in range(D)])
        z = (g * z + (1.0 - g) * means)[::-1].copy()
    values = {"T": 2, "D": D, "q_0(z_0)": density, "g": gates}
    assert drawn.z.flatten().tolist() == pytest.approx(z.tolist())
    log_q = evaluate(right_side(entry.about.formula, 1), values)
    assert log_q == pytest.approx(float(drawn.log_qz_x))


@pytest.mark.parametrize("name", ["categorical", "gumbel_softmax"])
def test_the_kl_of_a_categorical_is_its_formula(name):
    entry = POSTERIORS[name]
    q = entry.distribution(numbers(25, 1, 1, D * 4), LATENT, None, temperature=0.5)
    scores = numbers(26, 1, D, 4)
    values = {
        "D": D,
        "C": 4,
        r"\pi": from_1(q.log_probs[0, 0].exp()),
        "p": from_1(torch.softmax(scores[0], -1)),
    }
    kl = PRIORS["learned_categorical"].kl(q, scores=scores)
    assert evaluate(right_side(entry.about.formula, 1), values) == pytest.approx(float(kl))


Z = numbers(27, 1, 1, 1, D)


def of_components():
    """Three Gaussians with weights: the arguments of the mixture, and the symbols of a prior."""
    mu, log_var, scores = numbers(28, 1, 3, D), numbers(29, 1, 3, D), numbers(30, 1, 1, 3)

    def density(at):
        c = at["c"] - 1
        both = zip(Z.flatten().tolist(), mu[0, c].tolist(), log_var[0, c].tolist(), strict=True)
        return math.exp(sum(log_normal(*numbers_of) for numbers_of in both))

    weights = from_1(torch.softmax(scores[0, 0], -1))
    return {"mu": mu, "log_var": log_var, "scores": scores}, density, weights


def test_the_mixture_is_its_formula():
    parameters, density, weights = of_components()
    entry = PRIORS["mixture_of_gaussians"]
    values = {
        "C": 3,
        r"\pi": weights,
        r"\mathcal{N}(z;\mu_c,\mathrm{diag}(\sigma_c^2))": density,
    }
    log_pz = float(entry.log_prob(Z, **parameters))
    assert evaluate(right_side(entry.about.formula), values) == pytest.approx(log_pz)


def test_the_vampprior_is_its_formula():
    parameters, density, _ = of_components()
    entry = PRIORS["vamp"]
    both = torch.cat([parameters["mu"], parameters["log_var"]], -1)
    components = POSTERIORS["diagonal_gaussian"].distribution(both, LATENT, None)
    log_pz = float(entry.log_prob(Z, components=components))
    values = {"C": 3, "q(z|u_c)": density}
    assert evaluate(right_side(entry.about.formula), values) == pytest.approx(log_pz)


def test_the_other_priors_are_their_formulas():
    codes = torch.eye(4).double()[[1, 3, 1]].reshape(1, 1, 1, -1)
    scores = numbers(26, 1, D, 4)
    of_codes = {"z": from_1(codes.reshape(D, 4)), "p": from_1(torch.softmax(scores[0], -1))}
    cases = [
        ("standard_normal", Z, {}, {"z": Z.flatten().numpy(), r"\pi": math.pi}),
        ("uniform_categorical", codes, {}, {}),
        ("learned_categorical", codes, {"scores": scores}, of_codes),
    ]
    for name, z, parameters, symbols in cases:
        entry = PRIORS[name]
        values = {"D": D, "C": 4, **symbols}
        log_pz = float(entry.log_prob(z, **parameters))
        assert evaluate(right_side(entry.about.formula), values) == pytest.approx(log_pz)
