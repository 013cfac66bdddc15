"""The gap of the ELBO in two parts, exact on the linear-Gaussian VAE."""

import pytest
import torch

from tests.support.families import KEYS, P, model_of
from vaebench.core.errors import InputError
from vaebench.data import Images, Part
from vaebench.diagnostics.certify import linear_gaussian
from vaebench.diagnostics.certify.exact.linear_gaussian import (
    exact_elbo,
    exact_log_px,
    examples,
    replicas,
)
from vaebench.evaluation import Subject, evaluate
from vaebench.evaluation.likelihood import gaps as gaps_module
from vaebench.evaluation.likelihood.bounds import bounds
from vaebench.evaluation.likelihood.gaps import gaps, refined
from vaebench.models import select
from vaebench.models.posteriors import POSTERIORS
from vaebench.ops.adam import AdamScalars
from vaebench.ops.noise import Noise, uniforms

R = 60
NOISE = Noise((40,))
REAL = [name for name, entry in POSTERIORS.items() if not entry.discrete]


class OnlyTest:
    """A data set of which nothing but the test part is read."""

    def __init__(self, x):
        self.test = Part(Images(x), None)

    def observations(self, part):
        assert part == "test"
        return self.test.images


def subject_of(model, x, noise=NOISE):
    return Subject(model, OnlyTest(x), noise)


def graded(wrong, **more):
    """Both gaps of R copies of the examples: [R] each, the mean over the examples."""
    return of_copies(linear_gaussian(wrong), **more)


def of_copies(model, **more):
    x = examples().repeat(R, 1)
    computed = gaps(subject_of(model, x), num_examples=len(x), **more)
    return [grade.parts[0].view(R, -1).mean(-1) for grade in computed]


def near(computed, expected):
    """Within 4 standard errors of the copies, and within what 300 steps leave of the way."""
    assert abs(computed.mean() - expected) <= 4 * computed.std() / R**0.5 + 1e-3


def test_a_true_posterior_leaves_no_gap():
    for gap in graded(0.0, num_steps=300, num_samples=100):
        near(gap, 0.0)
        assert gap.abs().max() < 5e-3


def test_a_wrong_encoder_of_the_right_family_leaves_an_amortisation_gap_alone():
    """log p(x) - L[q] in closed form: the true posterior is diagonal, so that q* is that."""
    model, x = linear_gaussian(1.0), examples()
    expected = float((exact_log_px(model, x) - exact_elbo(model, x[None])[0]).mean())
    assert expected > 0.3
    amortisation, approximation = graded(1.0, num_steps=300, num_samples=200)
    near(amortisation, expected)
    near(approximation, 0.0)


def correlated():
    """A decoder whose columns are not orthogonal: the true posterior has correlations."""
    model = linear_gaussian(0.0)
    mixing = torch.tensor([[1.0, 0.9, 0.4], [0.0, 0.8, 0.5], [0.0, 0.0, 0.9]]).double()
    model.decoder.weight.copy_(2.0 * mixing.T @ model.decoder.weight)
    return model


def test_a_family_without_correlations_leaves_its_own_gap():
    """That of the best diagonal Gaussian: (sum(log diag(precision)) - log det(precision)) / 2."""
    model = correlated()
    weight = model.decoder.weight[0]
    precision = torch.eye(3, dtype=torch.float64) + weight @ weight.T / 4.0
    expected = 0.5 * float(precision.diagonal().log().sum() - torch.logdet(precision))
    assert expected > 0.1
    amortisation, approximation = of_copies(model, num_samples=1000, num_steps=300)
    near(approximation, expected)
    assert (amortisation > 0.1).all()


def test_refinement_finds_the_true_posterior():
    model, x = linear_gaussian(1.0), examples()
    best = refined(model, x, Noise((1,)), 600, AdamScalars(0.03))
    expected = linear_gaussian(0.0).encoded(x[None])
    assert (model.encoded(x[None]) - expected).abs().mean() > 0.3
    torch.testing.assert_close(best, expected, rtol=0, atol=0.06)


@pytest.mark.parametrize("posterior", REAL)
def test_every_family_of_real_codes_is_refined(posterior):
    """By its numbers alone: what its network shares stays as it was."""
    model = model_of(posterior, "standard_normal")
    before = [p.clone() for p in model.parameters()]
    x = (uniforms(Noise((8,)), 6, P)[0] < 0.4).double()
    amortisation, approximation = gaps(
        subject_of(model, x, Noise(KEYS)), num_steps=60, num_samples=200, num_examples=5
    )
    assert amortisation.parts.shape == (3, 5)
    assert (amortisation.values > 0.05).all()
    assert (approximation.values > -0.02).all()
    for parameter, was in zip(model.parameters(), before, strict=True):
        torch.testing.assert_close(parameter, was, rtol=0, atol=0)


def test_bounds_are_of_samples_that_q_was_not_fitted_to(monkeypatch):
    read = []

    def watched(function):
        def call(model, x, noise, *rest, **more):
            read.append((function.__name__, noise.keys))
            return function(model, x, noise, *rest, **more)

        return call

    monkeypatch.setattr(gaps_module, "refined", watched(refined))
    monkeypatch.setattr(gaps_module, "bounds", watched(bounds))
    gaps(subject_of(linear_gaussian(1.0), examples(), Noise((1,))), num_steps=2, num_samples=5)
    (_, fitted), (_, encoded), (_, computed) = read
    assert encoded == computed != fitted


def test_bounds_of_the_encoders_own_numbers_are_those_of_the_encoder():
    model = replicas(linear_gaussian(1.0), 2)
    numbers = model.encoded(examples().expand(2, -1, -1))
    noise = Noise((1, 2))
    for max_bytes in (None, 2000):
        ours = bounds(
            model, examples(), noise, num_samples=30, numbers=numbers, max_bytes=max_bytes
        )
        theirs = bounds(model, examples(), noise, num_samples=30)
        torch.testing.assert_close(vars(ours), vars(theirs))


def test_discrete_codes_are_refused():
    model = model_of("categorical", "uniform_categorical")
    x = (uniforms(Noise((8,)), 6, P)[0] < 0.4).double()
    with pytest.raises(InputError, match="'gaps' is refused: prior 'uniform_categorical' is over"):
        evaluate(subject_of(model, x, Noise(KEYS)), {"gaps": {}})


def test_chunks_and_stacks_do_not_show():
    model, scalars = model_of("iaf", "standard_normal"), AdamScalars(0.05)
    x = (uniforms(Noise((8,)), 6, P)[0] < 0.4).double()
    whole = refined(model, x, Noise(KEYS), 10, scalars)
    torch.testing.assert_close(refined(model, x, Noise(KEYS), 10, scalars, 3000), whole)
    stacked = gaps(subject_of(model, x, Noise(KEYS)), num_steps=10, num_samples=20)
    alone = gaps(subject_of(select(model, [1]), x, Noise(KEYS[1:2])), num_steps=10, num_samples=20)
    for ours, theirs in zip(stacked, alone, strict=True):
        torch.testing.assert_close(ours.parts[1:2], theirs.parts, rtol=0, atol=0)


def test_a_high_khat_puts_the_approximation_gap_in_doubt():
    model = linear_gaussian(0.0)
    model.encoder.rest -= 3.0  # far too narrow
    subject = subject_of(model, examples(), Noise((1,)))
    amortisation, approximation = gaps(subject, num_steps=2, num_samples=1000)
    assert amortisation.doubts == ()
    assert approximation.doubts[0].startswith("k-hat above 0.67 for ")
