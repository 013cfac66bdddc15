"""Models from elsewhere in other precisions and forms: graded, marked, or refused in one line."""

import copy
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import distributions as td

import vaebench as vb
from vaebench.core.errors import InputError
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.running.external import Entrant, grade

DATA = {"name": "digits", "binarisation": "threshold"}
SETTINGS = {"num_samples": 10, "num_images": 30, "gradings": ["likelihood", "latent", "samples"]}
GENERATOR = torch.Generator().manual_seed(0)
W = 0.1 * torch.randn(64, 4, generator=GENERATOR)
V = torch.randn(2, 64, generator=GENERATOR)


def encode(x):
    return (x @ W).chunk(2, -1)


def decode(z):
    return z @ V


def figures(**changes):
    standing = {"encode": encode, "decode": decode, "likelihood": "bernoulli", "data": DATA}
    record = grade(Entrant(**{**standing, "evaluate": SETTINGS, **changes}))
    return {m.metric: m for m in record.metrics}


# ------------------------------------------------------------------ other precisions


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_another_precision_is_graded_as_float32(dtype):
    """Off by what the rounding of its outputs moves: 8 bits of bfloat16 in a logit of 5."""
    expected = figures()
    computed = figures(
        encode=lambda x: tuple(part.to(dtype) for part in encode(x)),
        decode=lambda z: decode(z).to(dtype),
    )
    for name in ("elbo", "nll", "mse", "frechet"):
        assert computed[name].value == pytest.approx(expected[name].value, rel=2e-2), name
    assert computed["elbo"].value == pytest.approx(expected["elbo"].value, rel=1e-3)


def test_a_normal_and_a_prior_in_float64_are_graded():
    expected = figures()
    computed = figures(
        encode=lambda x: td.Normal(encode(x)[0].double(), (0.5 * encode(x)[1]).exp().double()),
        prior=td.MultivariateNormal(torch.zeros(2).double(), torch.eye(2).double()),
    )
    for name in ("elbo", "nll"):
        assert computed[name].value == pytest.approx(expected[name].value, abs=0.5), name


def test_float64_is_graded_where_gradients_are_followed():
    few = {"num_temperatures": 4, "num_chains": 3, "num_examples": 4, "num_simulated": 2}
    settings = SETTINGS | {"gradings": [{"name": "annealed", **few}]}
    expected = figures(evaluate=settings)
    computed = figures(evaluate=settings, decode=lambda z: z.double() @ V.double())
    assert computed["ais_nll"].value == pytest.approx(
        expected["ais_nll"].value, rel=0.05
    )  # chains turn


NET = torch.nn.Linear(64, 4)
WRONG = {
    "a net in float64": (
        {"encode": lambda x: copy.deepcopy(NET).double()(x).chunk(2, -1)},
        r"encode must take float32 of shape \(3, 64\) on cpu; it raised RuntimeError: .*: where it "
        r"computes in another precision, convert within it, as by x.double\(\)",
    ),
    "arrays": (
        {"encode": lambda x: np.split((x @ W).numpy(), 2, -1)},
        "two tensors of real numbers, or a Normal over z; it gave list of 2: ndarray, ndarray",
    ),
    "an array": (
        {"decode": lambda z: decode(z).numpy()},
        "decode must give a tensor of real numbers; it gave ndarray",
    ),
    "three outputs": (
        {"encode": lambda x: (*encode(x), encode(x)[0])},
        "it gave tuple of 3: a tensor of float32 of shape",
    ),
    "two outputs of decode": (
        {"decode": lambda z: (decode(z), decode(z))},
        "decode must give a tensor of real numbers; it gave tuple of 2",
    ),
    "complex": ({"decode": lambda z: decode(z) + 0j}, "it gave a tensor of complex64 of shape"),
    "no code": (
        {"encode": lambda x: (x[:, :0], x[:, :0])},
        r"of shape \[3, D\] for 3 images; it gave \(3, 0\) and \(3, 0\)",
    ),
    "a number": (
        {"encode": lambda x: (x.sum(), x.sum())},
        r"of shape \[3, D\] for 3 images; it gave \(\) and \(\)",
    ),
    "another width of the log-variance": (
        {"encode": lambda x: (x[:, :2], x[:, :1])},
        r"it gave \(3, 2\) and \(3, 1\)",
    ),
    "dropout": (
        {"decode": torch.nn.Sequential(torch.nn.Linear(2, 64), torch.nn.Dropout())},
        r"turn dropout and batch statistics off, as model.eval\(\) does",
    ),
    "many lines": (
        {"decode": lambda z: (_ for _ in ()).throw(ValueError("first\nsecond"))},
        "it raised ValueError: first: where",
    ),
    "a prior of bounded support": (
        {"prior": td.Uniform(torch.zeros(2), torch.ones(2), validate_args=True)},
        "the prior's log_prob must take float32 of shape .* it raised ValueError",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_graded_is_one_line(what):
    changes, message = WRONG[what]
    with pytest.raises(InputError, match=message) as caught:
        figures(**changes)
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------ data


@pytest.fixture
def npz(tmp_path):
    images = (np.random.default_rng(0).random((60, 8, 8)) < 0.4).astype(np.uint8)
    np.savez(tmp_path / "mine.npz", x_train=images[:40], x_test=images[40:])
    return tmp_path / "mine.npz"


def test_data_may_be_a_path_a_config_or_a_table_with_a_path(npz):
    expected = figures(data=str(npz))
    for data in (npz, vb.DataConfig(name=str(npz)), {"name": Path(npz)}):
        assert figures(data=data) == expected


IMAGES = np.zeros((4, 8, 8), np.uint8)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ({"x_train": IMAGES, "x_test": IMAGES}, "dict"),
        (IMAGES, "ndarray"),
        (torch.zeros(4, 64), "Tensor"),
        (None, "NoneType"),
    ],
)
def test_images_themselves_are_answered_with_how_to_give_them(data, kind):
    message = rf"got {kind}: write vb.dataset\(x_train, x_test\)"
    with pytest.raises(InputError, match=message):
        figures(data=data)


# ------------------------------------------------------------------ numbers on another scale


def probabilities(z):
    return torch.sigmoid(z @ V)


def shares(z):
    return (z @ V)[:, None].expand(-1, 256, -1).softmax(1).flatten(1)


def scales(z):
    return torch.cat([z @ V, torch.full((len(z), 64), 0.2)], -1)


GREY = {"name": "digits"}
OFF_SCALE = {
    "probabilities": ({"decode": probabilities}, r"give torch.logit\(p\)"),
    "exact probabilities": (
        {"decode": lambda z: (z @ V > 0).float()},
        r"lie in \[0, 1\], as probabilities do",
    ),
    "probabilities for grey": (
        {"decode": probabilities, "likelihood": "continuous_bernoulli", "data": GREY},
        r"give torch.logit\(p\)",
    ),
    "shares": (
        {"decode": shares, "likelihood": "categorical", "data": GREY},
        r"sum to 1 over the 256 classes, .* give torch.log\(p\)",
    ),
    "scales": (
        {"decode": scales, "likelihood": "gaussian_per_pixel", "data": GREY},
        r"wider than the range of all pixels: .* give torch.log\(scale\)",
    ),
    "scales of levels": (
        {"decode": scales, "likelihood": "discretised_logistic", "data": GREY},
        r"give torch.log\(scale\)",
    ),
}


@pytest.mark.parametrize("what", OFF_SCALE)
def test_numbers_on_another_scale_mark_every_figure(what):
    changes, message = OFF_SCALE[what]
    for metric in figures(**changes, evaluate=SETTINGS | {"gradings": ["likelihood"]}).values():
        assert re.search(message, metric.trust), metric.metric


UNMARKED = {
    "logits": {},
    "small logits of both signs": {"decode": lambda z: 0.01 * z @ V},
    "means in [0, 1]": {
        "decode": probabilities,
        "likelihood": {"name": "gaussian", "sigma": 0.3},
        "data": GREY,
    },
    "log scales": {
        "decode": lambda z: torch.cat([z @ V, torch.full((len(z), 64), -0.2)], -1),
        "likelihood": "gaussian_per_pixel",
        "data": GREY,
    },
    "log shares": {
        "decode": lambda z: shares(z).log(),
        "likelihood": "categorical",
        "data": GREY,
    },
    "a wide posterior of a wide prior": {
        "encode": lambda x: (encode(x)[0], torch.full_like(encode(x)[0], 4.0)),
        "decode": lambda z: 0.0 * z @ V,
        "prior": td.Normal(torch.zeros(2), 8.0 * torch.ones(2)),
    },
}


@pytest.mark.parametrize("what", UNMARKED)
def test_numbers_on_the_right_scale_are_not_marked(what):
    computed = figures(**UNMARKED[what], evaluate=SETTINGS | {"gradings": ["likelihood"]})
    assert computed["elbo"].trust == ""


VARIANCE = 1.0 / (1.0 + (1.0 / 8.0) ** 2 / 0.01**2)
"""The exact posterior's, where an image is code / 8 along two axes, with sigma = 0.01."""


@pytest.mark.parametrize(
    ("spread", "words"),
    [
        (VARIANCE**0.5, r"read as standard deviations .* give 2 torch.log\(sigma\)"),
        (VARIANCE, r"read as variances .* give torch.log\(variance\)"),
        (math.log(VARIANCE), "^$"),
    ],
)
def test_spreads_that_are_read_as_log_variances_are_marked(spread, words):
    columns = torch.linalg.qr(torch.randn(64, 2, generator=GENERATOR)).Q
    computed = figures(
        encode=lambda x: (8.0 * x @ columns, torch.full((len(x), 2), spread)),
        decode=lambda z: z @ columns.T / 8.0,
        likelihood={"name": "gaussian", "sigma": 0.01},
        data=GREY,
        evaluate=SETTINGS | {"gradings": ["likelihood"]},
    )
    assert re.search(words, computed["elbo"].trust)


def test_one_logit_outside_is_enough_to_tell():
    x, out = torch.zeros(1, 3, 4), torch.full((1, 1, 3, 4), 0.5)
    doubt = LIKELIHOODS["bernoulli"].doubt
    assert doubt(x, out)
    out[0, 0, 1, 2] = -0.01
    assert not doubt(x, out)
