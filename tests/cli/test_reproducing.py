"""The command that tries a claim, as a user meets it."""

import json

import pytest

from tests.test_cli import call
from vaebench.results import records

CLAIM = """
title = "tiny"
source = "made up"
differs = ["it is not trained to the end"]

[study.base]
objective = "elbo"
likelihood = "bernoulli"
model = { latent_dim = 2, widths = [8] }
train = { num_steps = 1000, batch_size = 16 }
data = { name = "digits", binarisation = "dynamic" }
evaluate = { num_samples = 3, gradings = ["likelihood"] }

[study.axes]
seed = [0, 1]

[full]
statements = [{ kind = "value", says = "far away", published = 1.0, protocol = "no such" }]

[cpu]
set = ["base.train.num_steps=12"]

[[cpu.statements]]
kind = "value"
says = "the NLL"
protocol = "test, K=3, too few for a k-hat"
published = 45.0
tolerance = 40.0
because = "of a tiny run"
"""


@pytest.fixture
def claim(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(CLAIM)
    return path


def test_a_claim_is_trained_judged_and_not_trained_again(claim, tmp_path):
    out = tmp_path / "out"
    first = call("reproduce", claim, "--out", out, "--executor", "inline")
    assert first.exit_code == 0, first.output
    assert "tiny (cpu): reproduced" in first.stdout
    assert "not as published: it is not trained to the end" in first.stdout
    written = [(out / "runs" / f"{r.run}.json").stat().st_mtime_ns for r in records(out)]
    again = call("reproduce", claim, "--out", out, "--executor", "inline", "--json")
    verdict = json.loads(again.stdout)
    assert verdict["verdict"] == "reproduced"
    assert verdict["outcomes"][0]["values"].keys() == {"0", "1"}
    assert verdict["wall_s"] > 0.0
    assert json.loads((out / "verdict.json").read_text()).items() <= verdict.items()
    assert written == [(out / "runs" / f"{r.run}.json").stat().st_mtime_ns for r in records(out)]
    assert len(written) == 2


def test_a_claim_that_does_not_hold_ends_with_status_1(claim, tmp_path):
    claim.write_text(CLAIM.replace("published = 45.0", "published = 200.0"))
    done = call("reproduce", claim, "--out", tmp_path / "out", "--executor", "inline")
    assert done.exit_code == 1
    assert "tiny (cpu): not reproduced" in done.stdout


def test_figures_that_are_not_as_before_end_with_status_3(claim, tmp_path):
    """Whatever the verdict; figures that are do not change the status."""
    out = tmp_path / "out"
    for before, status, words in (((30.0, 60.0), 0, "met"), ((10.0, 10.1), 3, "not met")):
        figures = "\n".join(f'"{seed}" = {value}' for seed, value in enumerate(before))
        claim.write_text(f'{CLAIM}\n[cpu.expected."the NLL"]\n{figures}\n')
        done = call("reproduce", claim, "--out", out, "--executor", "inline")
        assert (done.exit_code, "tiny (cpu): reproduced" in done.stdout) == (status, True)
        assert f"expectation {words}: the NLL: is " in done.stdout
    (expectation,) = json.loads((out / "verdict.json").read_text())["expectations"]
    assert (expectation["met"], expectation["recorded"]) == (False, 10.05)


def test_what_the_suite_lacks_is_not_comparable_and_trains_nothing(claim, tmp_path):
    claim.write_text('lacks = "a ladder of latents"\n' + CLAIM)
    done = call("reproduce", claim, "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert "the NLL: not comparable: the suite lacks a ladder of latents" in done.stdout


def test_a_name_must_be_given_and_known():
    for arguments, words in (((), "give the NAME"), (("sigma",), "did you mean 'sigma-vae'")):
        done = call("reproduce", *arguments)
        assert done.exit_code == 2
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == 1
