"""The printed formulas of objectives are those of the code: each is read and evaluated."""

import dataclasses
import itertools
import math
import re

import numpy as np
import pytest
from torch import nn

from tests.support.by_hand import B, D, K, N, S, arbitrary_terms, log_normal
from tests.support.latex import evaluate, from_1, right_side
from vaebench.objectives import OBJECTIVES

NAMED = re.compile(r"(\\?\w+) = \\text\{(\w+)\}")
"""A symbol that a formula says is a hyperparameter of another name."""
GREEK = {f"\\{name}": name for name in ("alpha", "beta", "gamma")}


class Summed(nn.Module):
    """A discriminator whose log-odds are the sum of the code."""

    def forward(self, z):
        return z.sum(-1, keepdim=True)


TERMS = dataclasses.replace(arbitrary_terms(), auxiliary=Summed())


def of_example(s, b):
    """The symbols of every objective, for one example of one run."""
    t = TERMS
    rates = from_1(t.rate_per_dimension[s, b])
    return {
        "K": K,
        "B": B,
        "D": D,
        "N": N,
        "w": from_1(t.log_w[:, s, b].exp()),
        "r": from_1(t.log_ratio[:, s, b].exp()),
        r"\mathcal{D}": float(t.distortion[s, b]),
        r"\mathcal{R}": float(t.rate[s, b]),
        r"\mathcal{R}_b": lambda at: float(t.rate[s, at["b"] - 1]),
        r"\mathrm{KL}[q(z_d|x)\|p(z_d)]": lambda at: rates[at["d"],],
        "over k": lambda at: [{"k": k} for k in range(1, K + 1)],
        "over j": lambda at: [{"j": k} for k in range(1, K + 1)],
        "f(z_k)": lambda at: float(t.z[at["k"] - 1, s, b].sum()),
    }


def of_groups(s, b, groups=2):
    """KL of a group of dimensions, of each example; neighbours, the first group the larger."""
    parts = np.array_split(TERMS.rate_per_dimension[s], groups, axis=-1)
    return {r"\mathrm{KL}_jb": lambda at: float(parts[at["j"] - 1][at["b"] - 1].sum()), "G": groups}


def of_one_layer(s, b):
    return {"L": 1, r"\mathcal{R}_bl": lambda at: float(TERMS.rate[s, at["b"] - 1])}


def of_samples_in_groups(s, b, groups=2):
    size = K // groups
    inside = lambda at: [{"k": (at["m"] - 1) * size + i} for i in range(1, size + 1)]  # noqa: E731
    return {r"over k\in\text{group}m": inside, "M": groups}


def of_subsets(s, b, order=2):
    w = TERMS.log_w[:, s, b].exp().tolist()

    def mean_bound(n):
        return np.mean([math.log(sum(c) / n) for c in itertools.combinations(w, n)])

    return {r"\bar{L}_K-j": lambda at: mean_bound(K - at["j"]), "m": order}


def of_partitions(s, b, partitions=4, beta_1=0.1):
    inner = [beta_1 ** ((partitions - t) / (partitions - 1)) for t in range(1, partitions)]
    at = {(t,): beta for t, beta in enumerate([0.0, *inner, 1.0])}
    return {r"\beta": at, "T": partitions}


def aggregate(s, b, weight):
    """Densities of code z_k of example b under the weighted mixture of all, by dimension too."""
    t = TERMS

    def log_q(k, j, d):
        z, mu, log_var = (float(a) for a in (t.z[k, s, b, d], t.mu[s, j, d], t.log_var[s, j, d]))
        return log_normal(z, mu, log_var)

    def whole(at):
        k = at["k"] - 1
        return sum(weight(j) * math.exp(sum(log_q(k, j, d) for d in range(D))) for j in range(B))

    def marginal(at):
        k, d = at["k"] - 1, at["d"] - 1
        return sum(weight(j) * math.exp(log_q(k, j, d)) for j in range(B))

    return {
        "q(z_k|x)": lambda at: float(t.log_qz_x[at["k"] - 1, s, b].exp()),
        "p(z_k)": lambda at: float(t.log_pz[at["k"] - 1, s, b].exp()),
        r"\hat{q}(z_k)": whole,
        r"\hat{q}(z_{kd})": marginal,
        "over d": lambda at: [{"d": d} for d in range(1, D + 1)],
    }


def of_minibatch(s, b):
    return aggregate(s, b, lambda j: 1.0 / (N * B))


def of_strata(s, b):
    """The example itself, the one before it, and the others."""
    others = B - 1
    special = {b: 1.0 / N, (b - 1) % B: (N - others) / (N * others)}
    return aggregate(s, b, lambda j: special.get(j, 1.0 / others))


def mmd(s, kernel):
    """The unbiased estimate, pair by pair, averaged over samples."""

    def mean(x, y, same):
        pairs = (
            itertools.permutations(range(B), 2) if same else itertools.product(range(B), repeat=2)
        )
        return np.mean([kernel(float((x[i] - y[j]).square().sum())) for i, j in pairs])

    prior = TERMS.prior_z[s]
    each = [
        mean(z[s], z[s], True) + mean(prior, prior, True) - 2.0 * mean(z[s], prior, False)
        for z in TERMS.z
    ]
    return {r"\widehat{\mathrm{MMD}}^2": float(np.mean(each))}


def of_info(s, b):
    return mmd(s, lambda squared: math.exp(-squared / (2.0 * D)))


def of_wae(s, b):
    return mmd(s, lambda squared: 2.0 * D / (2.0 * D + squared))


def covariance(s, extra=0.0):
    v = np.cov(TERMS.mu[s].T.numpy(), bias=True) + extra
    pairs = [{"i": i, "j": j} for i, j in itertools.permutations(range(1, D + 1), 2)]
    return {
        "V": from_1(v),
        r"over i\neqj": lambda at: pairs,
        "over i": lambda at: [{"i": i} for i in range(1, D + 1)],
    }


def of_means(s, b):
    return {**covariance(s), r"\lambda_od": 10.0, r"\lambda_d": 100.0}


def of_codes(s, b):
    spread = np.diag(TERMS.log_var[s].exp().mean(0).numpy())
    return {**covariance(s, spread), r"\lambda_od": 10.0, r"\lambda_d": 10.0}


SYMBOLS = {
    "free_bits_per_group": (of_groups, {"groups": 2}),
    "free_bits_per_layer": (of_one_layer, {}),
    "miwae": (of_samples_in_groups, {}),
    "jackknife": (of_subsets, {"order": 2}),
    "tvo": (of_partitions, {}),
    "beta_tc": (of_minibatch, {}),
    "beta_tc_stratified": (of_strata, {}),
    "info_vae": (of_info, {"alpha": 0.3}),
    "wae_mmd": (of_wae, {}),
    "dip_vae_i": (of_means, {}),
    "dip_vae_ii": (of_codes, {}),
    "geco": (lambda s, b: {r"\lambda": 2.5}, {"target": 17.0, "multiplier": 2.5}),
}
"""Objectives whose formulas have symbols of their own, and hyperparameters other than defaults."""


def nothing(s, b):
    return {}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_objective_is_its_formula(name):
    entry = OBJECTIVES[name]
    own_symbols, chosen = SYMBOLS.get(name, (nothing, {}))
    hyper = {**{n: h.default for n, h in entry.hyper.items()}, **chosen}
    hyper = {n: int(v) if n in entry.counts else v for n, v in hyper.items()}
    named = {**GREEK, **dict(NAMED.findall(entry.about.formula))}
    scalars = {symbol: hyper[n] for symbol, n in named.items() if n in hyper}
    loss = entry(TERMS, **hyper)
    text = right_side(entry.about.formula)
    for s, b in itertools.product(range(S), range(B)):
        values = {**of_example(s, b), **scalars, **own_symbols(s, b)}
        assert evaluate(text, values) == pytest.approx(float(loss[s, b]), rel=1e-9), (s, b)
