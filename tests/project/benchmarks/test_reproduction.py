"""The kept verdicts, against the claims as they are now, and the page that is made of them."""

import tomllib

import pytest
import torch
from msgspec.structs import replace

from benchmarks.reproduction import flows, kl_weights, optimisers, slopes
from benchmarks.reproduction.expectations import figures, main, record
from benchmarks.reproduction.page import KEPT, PAGE, page, renewed, verdicts
from tests.support.runs import tiny
from vaebench.config.resolve import resolve
from vaebench.core.errors import InputError
from vaebench.reproduction import Verdict, overall, read_claim
from vaebench.reproduction.claim import EXPECTED
from vaebench.reproduction.expected import expectations
from vaebench.reproduction.rule import over
from vaebench.reproduction.statements import Lower, Unbeaten, against
from vaebench.running.harness import run_all
from vaebench.running.restoring import load_model


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


def test_a_verdict_has_its_badge_and_results_beside_it():
    for done in verdicts():
        folder = KEPT / f"{done.claim}-{done.scale}"
        assert f">{done.verdict}</text>" in (folder / "badge.svg").read_text()
        assert (folder / ".eval_results" / f"{done.claim}.yaml").is_file() == bool(done.hub)


CPU = [done for done in verdicts() if done.scale == "cpu"]


@pytest.mark.parametrize("done", CPU, ids=lambda done: done.claim)
def test_a_claim_with_a_verdict_has_expectations_that_its_results_meet(done):
    """All of its statements have; results that are spoiled, or missing, do not meet them."""
    expected = read_claim(done.claim).scale("cpu").expected
    kept = expectations(done.outcomes, expected)
    anew = f"`nox -s expectations -- {done.claim}`, if the change was meant"
    assert [e.says for e in kept] == [o.says for o in done.outcomes], anew
    assert all(e.met for e in kept), anew
    for outcome, met in zip(done.outcomes, kept, strict=True):
        beyond = 1.01 * (met.high - met.recorded)
        for ours in (met.recorded + beyond, met.recorded - beyond):
            (spoiled,) = expectations([replace(outcome, ours=ours)], expected)
            assert not spoiled.met
        (missing,) = expectations([replace(outcome, ours=None, values={})], expected)
        assert not missing.met


def test_expectations_are_recorded_of_claims_with_a_verdict_alone():
    assert {path.stem for path in EXPECTED.glob("*")} == {done.claim for done in CPU}
    with pytest.raises(InputError, match="a verdict first: nox -s reproduce -- mine"):
        main(["mine"])


def test_what_is_recorded_of_one_claim_leaves_the_others_as_they_are(tmp_path):
    """Also where another process has recorded them since: each claim has a file of its own."""
    first, second = CPU[:2]
    record(second, tmp_path)
    (other,) = tmp_path.iterdir()
    other.write_text("of another process")
    record(first, tmp_path)
    assert other.read_text() == "of another process"
    (mine,) = set(tmp_path.iterdir()) - {other}
    assert tomllib.loads(mine.read_text()) == figures(first)
    lost = replace(first.outcomes[0], values={}, reason="seed 1, diverged")
    with pytest.raises(InputError, match="seed 1, diverged"):
        record(replace(first, outcomes=(lost,)), tmp_path)
    assert tomllib.loads(mine.read_text()) == figures(first)


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


@pytest.mark.parametrize("networks", flows.NETWORKS)
def test_the_flows_of_the_search_are_what_their_determinant_says(networks):
    """log |det J| is that of the Jacobian by autograd."""
    torch.manual_seed(0)
    model = flows.FlowModel(6, networks).double()
    z = torch.randn(1, 1, flows.LATENT, dtype=torch.float64)
    context = torch.randn(1, flows.NETWORKS[networks].context, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda z: model.flowed(z, context)[0], z)
    exact = torch.linalg.slogdet(jacobian.reshape(flows.LATENT, flows.LATENT)).logabsdet
    assert model.flowed(z, context)[1].item() == pytest.approx(exact.item(), rel=1e-9)


@pytest.mark.parametrize("optimiser, networks", flows.TRIED)
def test_each_flow_of_the_search_is_trained(monkeypatch, optimiser, networks):
    monkeypatch.setattr(flows, "EVERY", 2)
    x = torch.bernoulli(torch.full((20, 6), 0.5), generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    model = flows.FlowModel(6, networks)
    reached = list(flows.course(model, optimiser, x, x, steps=4))
    assert [steps for steps, *_ in reached] == [2, 4]
    assert all(elbo < log_px < 0.0 for _, elbo, log_px in reached)


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
