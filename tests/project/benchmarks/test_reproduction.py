"""The kept verdicts, against the claims as they are now, and the page that is made of them."""

import tomllib

import pytest
import torch
from msgspec.structs import replace

from benchmarks.reproduction import kl_weights, optimisers, slopes
from benchmarks.reproduction.expectations import as_toml, figures, other_seeds, recording
from benchmarks.reproduction.page import KEPT, PAGE, page, renewed, verdicts
from tests.support.runs import tiny
from vaebench.config.resolve import resolve
from vaebench.core.errors import InputError
from vaebench.reproduction import Outcome, Verdict, names, overall, read_claim
from vaebench.reproduction.claim import expectations
from vaebench.reproduction.rule import over
from vaebench.reproduction.statements import Lower, Unbeaten, against
from vaebench.running.harness import run_all
from vaebench.running.trained import load_model


def test_the_page_is_made_of_the_verdicts():
    assert PAGE.read_text() == page(), "run `python -m benchmarks.reproduction.page`"


def test_kept_verdicts_have_the_words_of_their_claims():
    kept = verdicts()
    assert kept == list(map(renewed, kept)), "run `python -m benchmarks.reproduction.page`"
    (outdated, *_) = (replace(done, differs=("nothing",)) for done in kept)
    assert renewed(outdated) == kept[0]


@pytest.mark.parametrize("done", verdicts(), ids=lambda done: f"{done.claim}-{done.scale}")
def test_a_kept_verdict_is_what_its_numbers_say(done):
    """By the claim as it is now: a tolerance that is moved afterwards is seen."""
    statements = {s.says: s for s in read_claim(done.claim).scale(done.scale).statements}
    assert [o.says for o in done.outcomes] == list(statements)
    assert overall(done.outcomes) == done.verdict
    for outcome in done.outcomes:
        statement = statements[outcome.says]
        values = {int(seed): value for seed, value in outcome.values.items()}
        if isinstance(statement, Unbeaten):
            # Its numbers are those of the rival that the verdict rests on, at a level of its own.
            beaten, safe = outcome.high < -statement.tolerance, outcome.low >= -statement.tolerance
            assert (outcome.verdict == Verdict.NOT_REPRODUCED) == beaten
            assert (outcome.verdict == Verdict.REPRODUCED) == safe
            continue
        if isinstance(statement, Lower):
            assert over(values).high == pytest.approx(outcome.high)
            assert (outcome.high < 0.0) == (outcome.verdict == Verdict.REPRODUCED)
            continue
        spread = getattr(statement, "spread", 0.0)
        again = against(statement, values, outcome.published, spread)
        assert again.verdict == outcome.verdict
        assert (again.low, again.high) == pytest.approx((outcome.low, outcome.high))
        if getattr(statement, "expected", False):
            assert statement.published == outcome.published


def test_a_verdict_has_its_badge_and_results_beside_it():
    for done in verdicts():
        folder = KEPT / f"{done.claim}-{done.scale}"
        assert f">{done.verdict}</text>" in (folder / "badge.svg").read_text()
        assert (folder / ".eval_results" / f"{done.claim}.yaml").is_file() == bool(done.hub)


def test_expectations_are_means_with_their_standard_errors():
    outcome = Outcome(
        says='a "b", c = 1',
        verdict=Verdict.NOT_COMPARABLE,
        reason="",
        values={"100": 1.0, "101": 3.0},
    )
    recorded = {"mine": figures([outcome])}
    assert recorded == {
        "mine": {'a "b", c = 1': {"value": 2.0, "spread": 1.0, "seeds": [100, 101]}}
    }
    assert tomllib.loads(as_toml(recorded)) == recorded
    lost = Outcome(says="s", verdict=Verdict.NOT_COMPARABLE, reason="seed 1, diverged")
    with pytest.raises(InputError, match="seed 1, diverged"):
        figures([outcome, lost])


@pytest.mark.parametrize("name", optimisers.OPTIMISERS)
def test_each_optimiser_trains_the_published_model(monkeypatch, name):
    """For three steps on noise; a bound on log p(x) is above the ELBO."""
    monkeypatch.setattr(optimisers, "NUM_STEPS", 3)
    x = torch.bernoulli(torch.full((20, 6), 0.5), generator=torch.Generator().manual_seed(0))
    first, again = (optimisers.trained(name, 0, x) for _ in range(2))
    elbo, log_px = optimisers.graded(first, x)
    assert elbo < log_px < 0.0
    torch.manual_seed(0)
    untrained = optimisers.Model(6)
    for model, alike in ((again, True), (untrained, False)):
        assert torch.equal(first.decoder[0].weight, model.decoder[0].weight) == alike


def test_an_expectation_is_made_by_other_seeds_than_the_claim_has():
    claim = read_claim("dreg-gain")
    seeds = claim.study_at("cpu").axes["seed"]
    assert len(other_seeds(claim)) == len(seeds)
    assert not set(other_seeds(claim)) & set(seeds)
    mine = replace(claim, cpu=replace(claim.cpu, set=("axes.seed=[0, 100]",)))
    with pytest.raises(InputError, match=r"below 100; dreg-gain has \[0, 100\]"):
        other_seeds(mine)


def test_every_expected_statement_has_its_figure():
    """And no figure is of a sentence that no claim has."""
    claims = [claim for claim in map(read_claim, names()) if claim.cpu is not None]
    wanted = {claim.name: recording(claim.cpu) for claim in claims if recording(claim.cpu)}
    assert {name: set(figures) for name, figures in expectations().items()} == wanted
    for name, of_claim in expectations().items():
        seeds = read_claim(name).study_at("cpu").axes["seed"]
        assert all(f["spread"] > 0.0 for f in of_claim.values())
        assert not any(set(f["seeds"]) & set(seeds) for f in of_claim.values())


def test_gradients_are_those_of_the_claim_after_as_many_steps():
    planned = slopes.planned("snr-slope-linear-8", 4000, 1)
    (variant,) = planned.variants
    assert (planned.at, variant.train.num_steps, variant.seed) == ((4000,), 4000, 1)
    assert (variant.objective.name, variant.model.latent_dim) == ("iwae", 8)


def test_a_run_is_graded_by_another_sigma_and_keeps_its_own(tmp_path):
    graded = {"num_samples": 5, "num_images": 40, "gradings": ["likelihood"]}
    config = tiny(likelihood="gaussian_optimal", data={"name": "digits"}, evaluate=graded)
    run_all(resolve([config]), tmp_path, "s", executor="inline", timings=False)
    (run,) = (tmp_path / "runs").glob("*.json")
    model = load_model(tmp_path, run.stem)
    trained, doubled = (kl_weights.graded(model, "test", 5, factor) for factor in (1.0, 2.0))
    assert kl_weights.graded(model, "test", 5, 1.0) == trained != doubled
