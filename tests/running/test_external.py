"""Models from elsewhere: graded as our own are, and refused with what is wrong with them."""

import dataclasses

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import distributions as td

import vaebench as vb
from tests.support.runs import tiny
from vaebench import evaluation, results
from vaebench.cli import main
from vaebench.config.build import build_stack, load_data, subject
from vaebench.config.resolve import resolve
from vaebench.core.errors import InputError
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.running.external import Entrant, estimate_seconds, grade, read
from vaebench.running.harness import train_all

DATA = {"name": "digits", "binarisation": "threshold"}
SETTINGS = {"num_samples": 20, "num_images": 40, "gradings": ["likelihood", "samples"]}
D = 3


@pytest.fixture
def ours():
    """A run of this suite before its first step, and its configuration."""
    (config,) = resolve(
        [tiny(data=DATA, evaluate=SETTINGS, model={"latent_dim": D, "widths": [8]})]
    )
    return build_stack([config], (8, 8)), config


def entrant(model, **changes):
    """The same model as plain functions of batches."""
    standing = {
        "encode": lambda x: model.encoder(x[None])[0].chunk(2, -1),
        "decode": lambda z: model.decoder(z[None])[0],
        "likelihood": "bernoulli",
        "data": DATA,
        "evaluate": SETTINGS,
    }
    return Entrant(**standing | changes)


def test_a_given_model_gets_the_grades_of_the_same_model_here(ours):
    model, config = ours
    expected = evaluation.evaluate(
        subject(model, load_data(config.data), [config]), config.evaluate.wanted
    ).values
    record = grade(entrant(model))
    assert {m.metric for m in record.metrics} == expected.keys()
    for metric in record.metrics:
        assert metric.value == pytest.approx(expected[metric.metric][0], rel=1e-5), metric.metric


def test_it_is_recorded_beside_runs_and_comparable_with_them(ours, tmp_path):
    model, config = ours
    train_all([config], tmp_path, "s", executor="inline")
    rows = vb.evaluate(
        *(vars(entrant(model))[name] for name in ("encode", "decode", "likelihood", "data")),
        out=tmp_path,
        name="theirs",
        evaluate=SETTINGS,
    )
    loaded = vb.load(tmp_path)
    assert set(loaded["variant"]) == {"elbo", "theirs"}
    assert loaded["observation_space"].nunique() == 1
    assert len(loaded[loaded["variant"] == "theirs"]) == len(rows)
    (run,) = loaded.loc[loaded["variant"] == "theirs", "run"].unique()
    assert (tmp_path / "samples" / f"{run}.png").stat().st_size > 0
    nll = rows.set_index("metric")["value"]["nll"]
    assert results.examples(tmp_path, run)["nll"].mean() == pytest.approx(nll, rel=1e-5)


def test_a_model_is_recorded_once_and_another_of_its_name_does_not_take_its_place(ours, tmp_path):
    model, _ = ours
    again = [grade(entrant(model, seed=seed), tmp_path).run for seed in (0, 1, 0)]
    assert again[0] == again[2] != again[1]
    other = build_stack([tiny(seed=5, model={"latent_dim": D, "widths": [8]})], (8, 8))
    wide = td.Normal(torch.zeros(D), 3 * torch.ones(D))
    runs = {
        grade(subject, tmp_path).run for subject in (entrant(other), entrant(model, prior=wide))
    }
    assert len(runs | set(again)) == len(list(results.records(tmp_path))) == 4


def test_a_refusal_does_not_take_the_place_of_what_was_graded(ours, tmp_path):
    run = grade(entrant(ours[0]), tmp_path).run
    with pytest.raises(InputError):
        grade(entrant(ours[0], **broken(ours[0])["nan"][0]), tmp_path)
    assert results.recorded(tmp_path)[run] == "done"
    assert sorted(results.recorded(tmp_path).values()) == ["done", "failed"]


def test_an_encoder_may_give_a_normal_and_a_prior_be_of_torch(ours):
    model, _ = ours

    def encode(x):
        mu, log_var = model.encoder(x[None])[0].chunk(2, -1)
        return td.Independent(td.Normal(mu, (0.5 * log_var).exp()), 1)

    only = {**SETTINGS, "gradings": ["likelihood"], "num_samples": 2000}
    plain = grade(entrant(model, evaluate=only))
    priors = (
        td.Normal(0.0, 1.0),
        td.Normal(torch.zeros(D), torch.ones(D)),
        td.Independent(td.Normal(torch.zeros(D), torch.ones(D)), 1),
        td.MultivariateNormal(torch.zeros(D), torch.eye(D)),
    )
    for prior in priors:
        other = grade(entrant(model, encode=encode, prior=prior, evaluate=only))
        for a, b in zip(plain.metrics, other.metrics, strict=True):
            # The rate is sampled where the prior is not ours.
            assert a.value == pytest.approx(b.value, abs=0.05), (prior, a.metric)


def test_a_mixture_as_prior_is_that_mixture(ours):
    """log p(x) under a mixture of two equal priors is that under one of them."""
    model, _ = ours
    twice = td.MixtureSameFamily(
        td.Categorical(torch.ones(2)),
        td.Independent(td.Normal(torch.zeros(2, D), torch.ones(2, D)), 1),
    )
    nll = [
        {m.metric: m.value for m in grade(entrant(model, prior=prior)).metrics}["nll"]
        for prior in ("standard_normal", twice)
    ]
    assert nll[0] == pytest.approx(nll[1], rel=1e-5)


def broken(model):
    """What is wrong -> the change that makes it so, and what the refusal says."""
    enc, dec = model.encoder, model.decoder
    dropout = torch.nn.Dropout(0.5)
    norm = torch.nn.BatchNorm1d(2 * D)
    return {
        "one tensor": ({"encode": lambda x: enc(x[None])[0]}, "mean and log-variance"),
        "a flat mean": (
            {"encode": lambda x: [v.flatten() for v in enc(x[None])[0].chunk(2, -1)]},
            r"shape \[3, ",
        ),
        "few outputs": (
            {"decode": lambda z: dec(z[None])[0][:, :9]},
            r"must give \[3, 64\]",
        ),
        "no tensor": ({"decode": lambda z: [0.0]}, "it gave list"),
        "nan": ({"decode": lambda z: dec(z[None])[0] * float("nan")}, r"log p\(x\|z\) must be fin"),
        "infinite": ({"encode": lambda x: (x[:, :D], x[:, :D].log())}, "encode must be finite"),
        "dropout": (
            {"encode": lambda x: dropout(enc(x[None])[0]).chunk(2, -1)},
            "turn dropout and batch statistics off",
        ),
        "batch statistics": (
            {"encode": lambda x: norm(enc(x[None])[0]).chunk(2, -1)},
            "turn dropout and batch statistics off",
        ),
        "learned": ({"likelihood": "gaussian_learned", "data": "digits"}, "sigma = 0.1"),
        "support": ({"data": "digits"}, "choose a binarisation"),
        "trained prior": ({"prior": "vamp"}, "torch.distributions object"),
        "a batch of priors": (
            {"prior": td.Independent(td.Normal(torch.zeros(2, D), torch.ones(2, D)), 1)},
            "one distribution over z",
        ),
        "another width": (
            {"prior": td.MultivariateNormal(torch.zeros(D + 1), torch.eye(D + 1))},
            f"over the {D} numbers",
        ),
        "raises": ({"encode": lambda x: enc(x[None])[1]}, "encode must take float32 of shape"),
        "nan in a normal": (
            {"encode": lambda x: td.Normal(x[:, :D] * float("nan"), 1.0, validate_args=True)},
            "it raised ValueError",
        ),
        "another precision": ({"decode": lambda z: dec(z[None].double())[0]}, "decode must take"),
        "no name": ({"name": 3}, "name must be a word"),
        "seed": ({"seed": -1}, "seed must be a whole number"),
        "device": ({"device": "foo"}, "device must be there"),
        "unknown": ({"likelihood": "bernouli"}, "did you mean 'bernoulli'"),
    }


WRONG = list(broken(build_stack([tiny()], (8, 8))))


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_graded_is_refused_with_the_reason(ours, what):
    changes, message = broken(ours[0])[what]
    with pytest.raises(InputError, match=message):
        grade(entrant(ours[0], **changes))


def test_a_probability_above_1_is_refused(ours, monkeypatch):
    def certain(x, out):
        return out.new_ones(out.shape[:-1])

    wrong = dataclasses.replace(LIKELIHOODS["bernoulli"], log_prob=certain)
    monkeypatch.setitem(LIKELIHOODS._entries, "bernoulli", wrong)
    with pytest.raises(InputError, match="at most 0"):
        grade(entrant(ours[0]))


def test_a_refusal_is_recorded_with_its_reason(ours, tmp_path):
    changes, message = broken(ours[0])["nan"]
    with pytest.raises(InputError, match=message):
        grade(entrant(ours[0], **changes), tmp_path)
    (record,) = results.records(tmp_path)
    assert record.status == "failed"
    assert "must be finite" in record.reason


def test_figures_that_are_not_finite_are_recorded_as_that(ours, tmp_path):
    """NaN for images beyond those that are tried first."""
    model, _ = ours

    def decode(z):
        out = model.decoder(z[None])[0]
        return out if len(z) <= 3 else out * float("nan")

    with pytest.raises(InputError, match="not finite on held-out data: elbo, nll"):
        grade(entrant(model, decode=decode), tmp_path)
    (record,) = results.records(tmp_path)
    assert "not finite" in record.reason


SCRIPT = """
import torch

torch.manual_seed(0)
encoder, decoder = torch.nn.Linear(64, 6), torch.nn.Linear(3, 64)
encode = lambda x: encoder(x).chunk(2, -1)
decode, likelihood = decoder, "bernoulli"
data = {"name": "digits", "binarisation": "threshold"}
name, seed = "scripted", 4
evaluate = {"num_samples": 7, "num_images": 40}
"""


def test_a_file_defines_a_model_and_the_command_line_goes_before_it(tmp_path):
    path = tmp_path / "model.py"
    path.write_text(SCRIPT)
    computed = read(path, num_samples=9)
    assert (computed.name, computed.seed) == ("scripted", 4)
    assert computed.evaluate == {"num_samples": 9, "num_images": 40}
    assert estimate_seconds(read(path, gradings=["likelihood"])).keys() == {"likelihood"}
    (tmp_path / "half.py").write_text("encode = None\n")
    with pytest.raises(InputError, match="must define decode"):
        read(tmp_path / "half.py")


def call(*arguments):
    return CliRunner(env={"COLUMNS": "200"}).invoke(main, [str(a) for a in arguments])


def test_the_command_grades_records_and_estimates(tmp_path):
    (tmp_path / "model.py").write_text(SCRIPT)
    model, out = str(tmp_path / "model.py"), str(tmp_path / "out")
    outcome = call("evaluate", model, "--grading", "likelihood", "--budget")
    assert "in all" in outcome.output and not (tmp_path / "out").exists()
    done = call("evaluate", model, "--grading", "likelihood", "--out", out)
    assert done.exit_code == 0, done.output
    (record,) = results.records(tmp_path / "out")
    assert record.labels.variant == "scripted" and "nll" in {m.metric for m in record.metrics}
    assert np.isfinite(results.examples(out, record.run)["nll"]).all()
    refused = call("evaluate", model, "--grading", "disentanglement")
    assert refused.exit_code == 2
    assert refused.stderr.startswith("vaebench: grading 'disentanglement' is refused: ")
    assert refused.stderr.count("\n") == 1, "no progress is shown before it"
    refused = call("evaluate", model, "--keep")
    assert refused.exit_code == 2
