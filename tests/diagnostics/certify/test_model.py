"""What is checked of models: those of the package hold, and what a user may get wrong is found."""

import pytest
import torch
from torch import nn

from tests.support.graphs import OF_COMPILING, needs_compiler
from tests.support.networks import deciding, normed, plain, registered
from vaebench.diagnostics.certify import certify, check_model
from vaebench.diagnostics.certify import model as certification
from vaebench.models import MODELS

pytestmark = OF_COMPILING
__all__ = ["registered"]


@pytest.fixture
def eager_alone(monkeypatch):
    """Compiling takes long, and most facts are of eager steps."""
    monkeypatch.setattr(certification, "is_users", lambda _: False)


@pytest.mark.parametrize("name", MODELS)
def test_models_of_the_package_hold(name):
    findings = list(check_model(MODELS[name]))
    assert all(finding.result == "holds" for finding in findings)
    assert len(findings) == 16


def test_a_users_model_holds_and_is_found_by_its_name(registered, eager_alone):
    registered(normed)
    findings = certify(["normed"])
    assert {f.kind for f in findings} == {"model"}
    assert [f.result for f in findings] == ["holds"] * 16


def for_large_images(sizes):
    """Convolutions that leave nothing of 8x8 pixels."""
    channels, _, _ = sizes.shape
    encoder = nn.Sequential(
        nn.Conv2d(channels, 4, 12, 8), nn.Flatten(), nn.LazyLinear(sizes.posterior)
    )
    return encoder, nn.Linear(sizes.code, sizes.out)


def for_nothing(sizes):
    return nn.Linear(7, 7), nn.Linear(sizes.code, sizes.out)


def test_the_first_examples_that_it_takes_are_tried(registered, eager_alone):
    first, *_ = check_model(registered(for_large_images))
    assert first.fact.endswith("for examples 28x28")
    (only,) = check_model(registered(for_nothing))
    assert only.fails
    assert "its encoder must take [B, 1, 8, 8] and give [B, 8]; it raised" in only.fact


class Learning(nn.Module):
    """Adds what it has seen, which lies in no buffer: another run's, in a stack."""

    def __init__(self, sizes):
        super().__init__()
        self.affine, self.seen = nn.Linear(sizes.pixels, sizes.posterior), torch.zeros(())

    def forward(self, x):
        if self.training:
            self.seen = 0.9 * self.seen + x.detach().mean()
        return self.affine(x.flatten(1)) + self.seen


def remembering(sizes):
    return Learning(sizes), plain(sizes)[1]


def batchwise(sizes):
    encoder, decoder = plain(sizes)
    return encoder.append(nn.BatchNorm1d(sizes.posterior, track_running_stats=False)), decoder


@pytest.mark.parametrize(
    ("function", "fact"),
    [
        (remembering, "a stack trains as its runs alone: keep what is drawn"),
        (batchwise, "beside no other: an ELBO is of one example"),
    ],
)
def test_a_failure_says_what_to_do(registered, eager_alone, function, fact):
    failing = [finding for finding in check_model(registered(function)) if finding.fails]
    assert any(fact in finding.fact for finding in failing)


@needs_compiler
def test_what_cannot_be_compiled_is_a_remark(registered):
    (remark,) = (f for f in check_model(registered(deciding)) if f.result != "holds")
    assert remark.result == "remark"
    assert "compiled steps are the eager ones: eager alone, as" in remark.fact


def test_compiled_steps_are_compared(registered, monkeypatch):
    entry = registered(normed)
    right = certification._losses
    monkeypatch.setattr(
        certification, "_losses", lambda case, *way: right(case) * (1.01 if way else 1.0)
    )
    (wrong,) = (finding for finding in check_model(entry) if finding.fails)
    assert wrong.fact.startswith("compiled steps are the eager ones: keep")
