"""The decorators: one idiom for every kind of entry, whose arguments are the entry's fields."""

import dataclasses
import inspect
from typing import Literal

import pytest

import vaebench as vb
from vaebench.config.schedules import SCHEDULES, Schedule, schedule
from vaebench.core.errors import InputError
from vaebench.evaluation.exhibits import EXHIBITS, Exhibit, exhibit
from vaebench.evaluation.grading import GRADINGS, Grading, grading
from vaebench.models.likelihoods import LIKELIHOODS, Likelihood, likelihood
from vaebench.models.networks import MODELS, Model, model, stacked_model
from vaebench.models.posteriors import POSTERIORS, Posterior, posterior
from vaebench.models.priors import PRIORS, Prior, prior
from vaebench.objectives import OBJECTIVES, Objective, objective

KINDS = {
    "exhibit": (exhibit, Exhibit, EXHIBITS),
    "grading": (grading, Grading, GRADINGS),
    "likelihood": (likelihood, Likelihood, LIKELIHOODS),
    "model": (model, Model, MODELS),
    "objective": (objective, Objective, OBJECTIVES),
    "posterior": (posterior, Posterior, POSTERIORS),
    "prior": (prior, Prior, PRIORS),
    "schedule": (schedule, Schedule, SCHEDULES),
}
kinds = pytest.mark.parametrize("kind", KINDS)
MISSING = inspect.Parameter.empty


def default_of(field):
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return MISSING if field.default is dataclasses.MISSING else field.default


@kinds
def test_the_arguments_are_the_fields_with_their_types_and_defaults(kind):
    decorator, entry, _ = KINDS[kind]
    _, _, *facts = sorted(dataclasses.fields(entry), key=lambda f: f.name != "name")
    parameters = inspect.signature(decorator).parameters
    assert {p.kind for p in parameters.values()} <= {inspect.Parameter.KEYWORD_ONLY}
    declared = {f.name: (f.type, default_of(f)) for f in facts}
    assert {n: (p.annotation, p.default) for n, p in parameters.items()} == declared


@kinds
def test_it_is_public_and_its_entries_have_their_functions_names(kind):
    decorator, _, registry = KINDS[kind]
    assert getattr(vb, kind) is decorator
    assert registry.kind == kind
    assert all(entry.name == name for name, entry in registry.items())


@kinds
def test_an_unknown_argument_is_answered_with_the_nearest(kind):
    decorator, *_ = KINDS[kind]
    nearest = next(iter(inspect.signature(decorator).parameters))
    misspelt = {nearest[:-1] + "z": ""}
    expected = rf"^@{kind}\(...\) has no argument '{nearest[:-1]}z'; did you mean '{nearest}'\?.*$"
    with pytest.raises(InputError, match=expected):
        decorator(**misspelt)


BARE = {"model"}
"""Kinds whose decorator may stand without brackets, as all its arguments have defaults."""


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in BARE])
def test_a_bare_decorator_is_answered_in_a_line(kind):
    decorator, *_ = KINDS[kind]
    with pytest.raises(InputError, match=rf"^@{kind}\(...\) takes arguments by name.*$"):
        decorator(lambda: None)


def narrow():
    return None


@pytest.mark.parametrize(
    ("decorate", "taken"),
    [
        (grading(source=""), r"\(subject\)"),
        (objective(source="", bound="none"), r"\(terms\)"),
        (model(), r"\(sizes\)"),
        (model, r"\(sizes\)"),
        (stacked_model(), r"\(sizes, widths, noises\)"),
        (posterior(source="", num_inputs=lambda latent: 1), r"\(numbers, latent, network\)"),
        (prior(source="", sample=narrow), r"\(z\)"),
        (schedule(source=""), r"\(progress\)"),
    ],
)
def test_a_function_of_another_signature_is_refused(decorate, taken):
    with pytest.raises(InputError, match=rf"'narrow': its function takes {taken}; got \(\)"):
        decorate(narrow)


def test_parameters_of_a_schedule_come_after_a_star():
    with pytest.raises(InputError, match=r"'half': parameters come after a \*; 'stop' does not"):

        @schedule(source="")
        def half(progress, stop=1.0):
            return stop / 2

    assert "half" not in SCHEDULES


def test_words_are_hyperparameters_of_models_alone():
    with pytest.raises(InputError, match=r"hyperparameters are numbers; 'way' is 'a' or 'b'"):

        @objective(source="", bound="none")
        def wordy(terms, *, way: Literal["a", "b"] = "a"):
            return terms.rate

    with pytest.raises(InputError, match=r"signature cannot be read: way must say its words"):

        @model
        def unsaid(sizes, *, way="a"):
            return None


def test_a_schedule_returns_a_number():
    with pytest.raises(InputError, match="schedule 'none' must return a number; got NoneType"):
        Schedule("none", lambda progress: None, source="")(0.5)
