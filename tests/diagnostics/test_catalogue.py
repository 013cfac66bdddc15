"""What `vaebench list` says, and the page that is made of it."""

import subprocess
import sys

import pytest

from tests.support import ROOT
from vaebench.diagnostics.catalogue import catalogue
from vaebench.objectives import OBJECTIVES


def lines_of(kind):
    return {line["name"]: line for line in catalogue()[kind]}


def test_the_page_of_the_registry_is_the_one_that_the_command_makes():
    """In a process of its own: other tests register entries."""
    command = [sys.executable, "-m", "vaebench", "list", "--markdown"]
    made = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert (ROOT / "docs" / "registry.md").read_text() == made


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_has_a_line_and_a_sentence_that_ends(name):
    line = lines_of("objectives")[name]
    assert line["what"].endswith(".")
    assert line["source"]


NEEDS = {
    "elbo": "closed-form KL",
    "elbo_mc": "",
    "elbo_stl": "log q(z|x) at any z",
    "beta_tc": "a Gaussian q(z|x) with independent dimensions, the whole minibatch",
    "wae_mmd": "the whole minibatch",
    "factor_vae": "closed-form KL, a discriminator (trained beside the model)",
}


@pytest.mark.parametrize("name", NEEDS)
def test_needs_are_said_in_words(name):
    assert lines_of("objectives")[name]["needs"] == NEEDS[name]


SAMPLES = {"elbo": "free", "iwae": "else elbo_mc", "jackknife": "needed (K >= 2)"}


@pytest.mark.parametrize("name", SAMPLES)
def test_whether_more_than_one_sample_is_needed(name):
    assert lines_of("objectives")[name]["several samples"] == SAMPLES[name]


def test_posteriors_say_to_which_priors_their_kl_has_a_closed_form():
    kl = {name: line["closed-form KL to"] for name, line in lines_of("posteriors").items()}
    assert kl == {
        "categorical": "uniform_categorical, learned_categorical",
        "gumbel_softmax": "uniform_categorical, learned_categorical",
        "diagonal_gaussian": "standard_normal",
        "full_gaussian": "standard_normal",
        "hierarchical": "",
        "ladder": "hierarchical",
        "planar_flow": "",
        "iaf": "",
    }
