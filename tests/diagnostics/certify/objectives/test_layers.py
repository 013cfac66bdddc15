"""Objectives on chains of layers: what they declare holds there, and a wrong estimator is found."""

from dataclasses import replace

import pytest

from vaebench.core.errors import InputError
from vaebench.diagnostics.certify import certify
from vaebench.diagnostics.certify.objectives.layers import check_layers
from vaebench.objectives import OBJECTIVES

CLOSED = {"elbo", "beta_elbo", "geco", "info_vae", "factor_vae", "free_bits_per_example"}
SAMPLED = {"iwae", "dreg", "elbo_stl", "tvo", "cubo", "piwae", "renyi", "elbo_mc"}


@pytest.mark.slow
@pytest.mark.parametrize(("posterior", "takes_closed"), [("hierarchical", False), ("ladder", True)])
def test_every_objective_is_certified_or_refused_by_name(posterior, takes_closed):
    """Top-down the KL has a closed form given the layer above, bottom-up it has none."""
    findings = certify(posterior=posterior)
    assert not [finding for finding in findings if finding.fails]
    refused = {finding.name for finding in findings if "is refused" in finding.fact}
    checked = {finding.name for finding in findings} - refused
    assert checked >= SAMPLED | (CLOSED if takes_closed else set())
    assert refused >= {"beta_tc", "dip_vae_i"} | (set() if takes_closed else CLOSED)


def test_a_path_estimator_that_forgets_a_layer_is_found(monkeypatch):
    """Where only q(z_1|x) is stopped, the gradient is not 0 at the true posterior."""
    from vaebench.models.posteriors.hierarchical import BottomUp

    def half(q):
        return replace(q, first=q.first.stopped())

    assert all(finding.holds for finding in check_layers(OBJECTIVES["elbo_stl"], "hierarchical"))
    monkeypatch.setattr(BottomUp, "stopped", half)
    wrong = {
        f.fact.partition(",")[0]
        for f in check_layers(OBJECTIVES["elbo_stl"], "hierarchical")
        if not f.holds
    }
    assert "the encoder's gradient is 0 in every sample at the true posterior" in wrong


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"posterior": "hierarchicl"}, "did you mean 'hierarchical'"),
        ({"posterior": "hierarchical", "kind": "priors"}, "for objectives; got kind 'priors'"),
    ],
)
def test_only_objectives_and_exact_models_are_certified_so(arguments, message):
    with pytest.raises(InputError, match=message):
        certify(**arguments)
