"""User code may work in place: the suite's own memory stays, and its value is the pure one's."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import distributions as td

import vaebench as vb
from tests.support.runs import tiny
from vaebench.config.build import build_stack, streams
from vaebench.core.user_code import call, copied, is_users
from vaebench.data import load
from vaebench.evaluation import GRADINGS, Subject, evaluate
from vaebench.evaluation.samples.extractors import extractor_for
from vaebench.evaluation.samples.features import features_of
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.priors import PRIORS, BoundPrior
from vaebench.objectives import OBJECTIVES
from vaebench.ops import noise as random_numbers
from vaebench.ops.noise import Noise, normals
from vaebench.running.external import Entrant, grade
from vaebench.running.external.entrant import enter
from vaebench.running.external.grade import subject as subject_of
from vaebench.training.loop import train

GREY = {"name": "digits"}
EVALUATE = {"num_samples": 6, "num_images": 40}
GENERATOR = torch.Generator().manual_seed(0)
W = 0.1 * torch.randn(64, 4, generator=GENERATOR)
V = torch.randn(2, 64, generator=GENERATOR)
GAUSSIAN = {"name": "gaussian", "sigma": 0.3}


@pytest.fixture(autouse=True)
def unchanged():
    """The cached data set is, after each test, what it was before."""
    dataset = load("digits", "none")
    before = copied((dataset.train.x, dataset.valid.x, dataset.test.x))
    yield
    for part, stored in zip(("train", "valid", "test"), before, strict=True):
        assert torch.equal(getattr(dataset, part).x, stored), part


# ------------------------------------------------------------------ models from elsewhere


def pure_encode(x):
    return (x.clamp(0.3, 0.7) @ W).chunk(2, -1)


def encode_in_place(x):
    return (x.clamp_(0.3, 0.7) @ W).chunk(2, -1)


ENCODED = {}


def encode_into_a_buffer(x):
    """The same memory for as many rows, as of a network that was compiled with static outputs."""
    buffer = ENCODED.setdefault(len(x), torch.empty(len(x), 4))
    return torch.mm(x.clamp(0.3, 0.7), W, out=buffer).chunk(2, -1)


def pure_decode(z):
    return torch.sigmoid((2 * z - 1) @ V)


def decode_in_place(z):
    return torch.sigmoid(z.mul_(2).sub_(1) @ V)


OUTPUT = torch.empty(1 << 22)


def decode_into_a_buffer(z):
    out = OUTPUT[: len(z) * 64].view(len(z), 64)
    return out.copy_(pure_decode(z))


def figures(encode, decode, **more):
    settings = {"likelihood": GAUSSIAN, "data": GREY, "evaluate": EVALUATE}
    return {m.metric: m.value for m in grade(Entrant(encode, decode, **settings | more)).metrics}


@pytest.mark.parametrize(
    ("encode", "decode"),
    [
        (encode_in_place, pure_decode),
        (encode_into_a_buffer, pure_decode),
        (pure_encode, decode_in_place),
    ],
)
def test_a_model_that_works_in_place_gets_the_figures_of_the_pure_one(encode, decode):
    expected = figures(pure_encode, pure_decode)
    assert figures(encode, decode) == expected
    assert figures(pure_encode, pure_decode) == expected


def test_what_decode_gives_is_kept_when_it_gives_the_same_memory_again():
    entered = enter(Entrant(pure_encode, decode_into_a_buffer, GAUSSIAN, GREY))
    model = subject_of(entered)[0].model
    first = model.mean_image(torch.zeros(1, 1, 3, 2))
    model.mean_image(torch.ones(1, 1, 3, 2))
    torch.testing.assert_close(first[0, 0], pure_decode(torch.zeros(3, 2)))


class InPlace(td.Normal):
    """A prior that doubles what it is given, and draws into one buffer."""

    buffer = torch.empty(10_000, 2)

    def log_prob(self, value):
        return super().log_prob(value.mul_(2))

    def sample(self, sample_shape=()):
        drawn = super().sample(sample_shape)
        return self.buffer[: len(drawn)].copy_(drawn) if drawn.ndim == 2 else drawn


class Pure(td.Normal):
    def log_prob(self, value):
        return super().log_prob(2 * value)


def test_a_prior_of_torch_may_work_in_place():
    chains = {"num_temperatures": 4, "num_chains": 3, "num_examples": 5, "num_simulated": 3}
    settings = EVALUATE | {"gradings": ["likelihood", {"name": "annealed", **chains}]}
    mu, sigma = torch.zeros(2), torch.ones(2)
    pure, in_place = (
        figures(pure_encode, pure_decode, prior=made, evaluate=settings)
        for made in (Pure(mu, sigma), InPlace(mu, sigma))
    )
    assert in_place == pure


# ------------------------------------------------------------------ extractors

EXTRACTORS = """
import torch

KEPT = torch.empty(100_000, 16, dtype=torch.float64)

def pure(x):
    return (x * 2 - 1).flatten(1)[:, :16]

def in_place(x):
    x.mul_(2).sub_(1)
    return x.flatten(1)[:, :16]

def its_buffer(x):
    return KEPT[: len(x)].copy_(pure(x))
"""


@pytest.mark.parametrize("name", ["in_place", "its_buffer"])
def test_an_extractor_may_work_in_place(tmp_path, name, monkeypatch):
    (tmp_path / "ext.py").write_text(EXTRACTORS)
    dataset = load("digits", "none")
    computed, expected = (
        extractor_for(dataset, f"{tmp_path / 'ext.py'}:{n}") for n in (name, "pure")
    )
    first, second = computed.features(dataset.test.x[:9]), computed.features(dataset.test.x[9:18])
    assert torch.equal(first.double(), expected.features(dataset.test.x[:9]).double())
    assert not torch.equal(first, second)
    of_test = features_of(expected, dataset.test.x)
    assert torch.equal(features_of(computed, dataset.test.x), of_test)


# ------------------------------------------------------------------ plugins


def pure_likelihood(x, out):
    return -(2 * x - 1 - out).square().sum(-1)


def likelihood_in_place(x, out):
    return -(x.mul_(2).sub_(1) - out).square().sum(-1)


def with_log_prob(function):
    return dataclasses.replace(LIKELIHOODS["gaussian"], log_prob=function)


@pytest.fixture
def subject():
    configs = [tiny(seed=i, likelihood=GAUSSIAN, data=GREY) for i in range(2)]
    model = build_stack(configs, (8, 8))
    data = load("digits", "none")
    return Subject(model, data, streams(configs, "evaluate"), num_samples=5, num_images=40)


def graded(subject, *names, **family):
    model = subject.model
    model.family = dataclasses.replace(model.family, **family)
    return evaluate(subject, {name: {} for name in names}).values


def test_a_likelihood_may_work_in_place(subject):
    subject.model.likelihood_hyper = type(subject.model.likelihood_hyper)({}, 2)
    computed, expected = (
        graded(subject, "likelihood", likelihood=with_log_prob(function))
        for function in (likelihood_in_place, pure_likelihood)
    )
    assert computed == expected


def test_a_prior_may_work_in_place():
    def in_place(z, *, scale):
        return -scale.mul_(2) * z.square_().sum(-1)

    bound = BoundPrior(
        dataclasses.replace(PRIORS["standard_normal"], log_prob=in_place),
        {"scale": torch.ones(1, 1)},
    )
    z = torch.full((1, 1, 3, 2), 3.0)
    assert bound.log_prob(z).tolist() == bound.log_prob(z).tolist() == [[[-36.0] * 3]]
    assert bool((z == 3).all())


def test_the_curves_of_an_objective_that_works_in_place_are_those_of_the_pure_one(monkeypatch):
    elbo = OBJECTIVES["elbo"]

    def pure(terms):
        return 2 * terms.distortion + 3 * terms.kl

    def in_place(terms):
        return terms.distortion.mul_(2) + terms.kl.mul_(3)

    configs, curves = [tiny(data=GREY, likelihood=GAUSSIAN)], []
    for loss in (pure, in_place):
        monkeypatch.setitem(OBJECTIVES._entries, "elbo", dataclasses.replace(elbo, loss=loss))
        curves.append(train(configs, load("digits", "none"), torch.device("cpu")).curves)
    assert curves[0] == curves[1]


def test_normals_are_the_readers_own(monkeypatch):
    """Also where they are kept for the steps that follow, without the native library."""
    monkeypatch.setattr(random_numbers.c, "library", lambda: None)
    noise = Noise((3,))
    expected = normals(noise, 1, 4, 2).clone()
    normals(noise, 1, 4, 2).mul_(7)
    assert torch.equal(normals(noise, 1, 4, 2), expected)


# ------------------------------------------------------------------ gradings and data sets


def spoils(subject):
    """A grading that whitens the data and halves the weights, in place."""
    for part in ("train", "valid", "test"):
        getattr(subject.dataset, part).x.sub_(0.5)
        subject.observed(part).mul_(2)
        subject.dataset.observe(part).mul_(3)
    with torch.no_grad():
        for parameter in subject.model.parameters():
            parameter.mul_(0.5)
    return [vb.Grade("spoilt", torch.zeros(subject.model.num_runs), "test", unit="1")]


@pytest.mark.parametrize("does", ["grade", "refuses"])
def test_a_grading_gets_data_and_weights_of_its_own(subject, does, monkeypatch):
    expected = graded(subject, "likelihood", "samples")
    answers = {"grade": lambda s: spoils(s), "refuses": lambda s: spoils(s) and ""}
    entry = dataclasses.replace(GRADINGS["latent"], **{does: answers[does]})
    monkeypatch.setitem(GRADINGS._entries, "latent", entry)
    computed = graded(subject, "latent", "likelihood", "samples")
    assert {name: computed[name] for name in expected} == expected


def over_all_runs(subject):
    """A grading that averages over the runs beside each other."""
    z = torch.zeros(1, subject.model.num_runs, 1, subject.model.latent.dim)
    mean = subject.model.mean_image(z).mean().expand(subject.model.num_runs)
    drawn = normals(subject.noise, 1, 4, 2).mean((0, 2, 3))
    parts = mean[:, None].expand(-1, 3)
    some = {"parts": parts, "low": mean - 1, "high": mean + 1, "doubts": ("odd",) * len(mean)}
    return [vb.Grade("mine", mean, "test", **some), vb.Grade("drawn", drawn, "test")]


def test_a_users_grading_gives_a_run_the_same_in_every_stack(subject, monkeypatch):
    entry = dataclasses.replace(GRADINGS["latent"], grade=over_all_runs)
    monkeypatch.setitem(GRADINGS._entries, "latent", entry)
    both = evaluate(subject, {"latent": {}}).grades
    assert both[0].values[0] != both[0].values[1] and both[1].values[0] != both[1].values[1]
    for run in range(2):
        noise = dataclasses.replace(subject.noise, keys=subject.noise.keys[run : run + 1])
        one_run = dataclasses.replace(subject, model=subject.model.of_run(run), noise=noise)
        alone = evaluate(one_run, {"latent": {}}).grades
        for one, other in zip(alone, both, strict=True):
            for field in ("values", "low", "high", "parts"):
                of_one, of_both = getattr(one, field), getattr(other, field)
                assert (of_one is of_both is None) or torch.equal(of_one[0], of_both[run]), field
    assert both[0].doubts == ("odd", "odd") and not any(both[1].doubts)


@pytest.mark.parametrize("binarisation", ["none", "threshold", "dynamic"])
def test_observations_are_a_copy(binarisation):
    dataset = load("digits", binarisation)
    expected = dataset.observe("test").clone()
    dataset.observe("test").sub_(1)
    assert torch.equal(dataset.observe("test"), expected)


# ------------------------------------------------------------------ the door itself


def test_a_function_of_the_users_gets_and_gives_copies():
    kept = torch.zeros(2)

    def users(x, *, table):
        x += 1
        table["a"] += 1
        return kept

    x, table = torch.zeros(2), {"a": np.zeros(2)}
    assert call(users, x, table=table) is not kept
    assert not x.any() and not table["a"].any()


def test_the_suites_own_functions_do_not_pay():
    x = torch.zeros(2)
    assert call(LIKELIHOODS["gaussian"].mean, x) is x
    assert not is_users(torch.sigmoid)
    assert is_users(lambda x: x) and is_users(torch.nn.Linear(1, 1))
    assert is_users(math.exp)  # in C too, where it is not PyTorch's


def test_a_gradient_flows_through_the_door():
    x = torch.ones(2, requires_grad=True)
    (gradient,) = torch.autograd.grad(call(lambda x: 3 * x.mul_(2), x).sum(), x)
    assert gradient.tolist() == [6.0, 6.0]
