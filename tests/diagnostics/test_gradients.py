"""Estimators of gradients: exact facts on the linear-Gaussian VAE, and the command end to end."""

import csv
import itertools
import json
import math

import pandas as pd
import pytest
import torch
from click.testing import CliRunner

from tests.support.runs import tiny
from vaebench.cli import main
from vaebench.config import Choice, parse
from vaebench.core.errors import InputError
from vaebench.diagnostics.certify import linear_gaussian
from vaebench.diagnostics.gradients import measure, plan
from vaebench.diagnostics.gradients.moments import (
    Moments,
    bias_t,
    cosine,
    directional_snr,
    distance,
    estimate,
    norm,
    snr_of_parameters,
    snr_of_vector,
)
from vaebench.diagnostics.gradients.plan import target
from vaebench.diagnostics.gradients.replicas import (
    SIDES,
    Point,
    parameters,
    replicas,
    with_objective,
)
from vaebench.objectives import OBJECTIVES, objective
from vaebench.objectives.estimators import estimator
from vaebench.report.gradients.tables import band, envelope, wide

R = 512
GAUSSIAN = parse(
    {
        "objective": "elbo",
        "likelihood": {"name": "gaussian", "sigma": 0.7},
        "model": {"name": "linear", "latent_dim": 3, "widths": []},
    }
)


def gaussian_point(wrong):
    x = torch.tensor([[0.5, -1.0, 0.2, 0.8, -0.3], [-0.2, 0.4, 1.1, -0.6, 0.1]]).double()
    return Point(0, 0.0, linear_gaussian(wrong), x[None], 2)


def gathered(point, name, num_samples, num=R, stream="replicas", directions=None, **hyper):
    """Moments of each side, along the given directions or the axes of the first parameters."""
    config = with_objective(GAUSSIAN, Choice(name, hyper), num_samples)
    computed = {}
    for part in replicas(point, config, stream, num):
        for side in SIDES:
            if side not in computed:
                axes = torch.eye(part[side].shape[1], dtype=torch.float64)
                computed[side] = Moments(axes if directions is None else directions[side])
            computed[side].add(part[side])
    return computed


# ------------------------------------------------------------------ the estimators


@pytest.mark.parametrize("name", [n for n, e in OBJECTIVES.items() if e.still_at_posterior])
def test_no_encoder_noise_at_the_true_posterior(name):
    point = gaussian_point(wrong=0.0)
    assert gathered(point, name, 4)["encoder"].summary().noise < 1e-24
    assert gathered(point, "elbo_mc", 4)["encoder"].summary().noise > 1e-2
    assert gathered(point, name, 4)["decoder"].summary().noise > 1e-2


def test_more_samples_hurt_the_encoder_of_iwae_and_help_that_of_dreg():
    """Rainforth et al. 2018, theorem 1: 1 / sqrt(K); Tucker et al. 2019: sqrt(K).

    Both have one expectation, which dreg's replicas show best.
    """
    point = gaussian_point(wrong=0.3)
    snr = {}
    for k in (8, 128):
        computed = {
            name: gathered(point, name, k)["encoder"].summary() for name in ("iwae", "dreg")
        }
        for name, summary in computed.items():
            snr[name, k] = norm(computed["dreg"]) / summary.noise**0.5
    assert math.log(snr["iwae", 128] / snr["iwae", 8], 16) == pytest.approx(-0.5, abs=0.1)
    assert math.log(snr["dreg", 128] / snr["dreg", 8], 16) == pytest.approx(0.5, abs=0.1)


def test_variance_of_a_mean_of_samples_falls_as_1_over_k():
    point = gaussian_point(wrong=1.0)
    for side in SIDES:
        computed = [gathered(point, "elbo_mc", k)[side] for k in (1, 8)]
        one, eight = (estimate(m, lambda s: s.noise) for m in computed)
        error = math.hypot(one.standard_error, 8 * eight.standard_error)
        assert abs(one.value - 8 * eight.value) < 4 * error
        assert error < 0.2 * one.value


@pytest.fixture
def biased():
    """DReG with the encoder's squared weights for the decoder too."""

    @objective(source="a mistake", bound="lower", gradient_of=OBJECTIVES["dreg"].gradient_of)
    def squared_for_both(t):
        weights = torch.softmax(t.log_w.detach(), 0).square()
        return -estimator(t, t.log_w.logsumexp(0), decoder=weights, path=weights)

    yield "squared_for_both"
    OBJECTIVES._entries.pop("squared_for_both")


def worst_t(point, name, side, **hyper):
    """The largest t along the axes, against the gradient that is declared."""
    ours = with_objective(GAUSSIAN, Choice(name, hyper), 8)
    due = target(ours, side).objective
    theirs = gathered(point, due.name, 8, num=2 * R, stream="reference", **due.hyper)
    return float(bias_t(gathered(point, name, 8, **hyper)[side], theirs[side]).abs().max())


def test_declared_gradients_are_told_from_biased_ones(biased):
    point = gaussian_point(wrong=1.0)
    limit = band(2 * 40)
    for side in SIDES:
        assert worst_t(point, "dreg", side) < limit
        assert worst_t(point, "elbo_stl", side) < limit
        assert worst_t(point, "piwae", side, groups=2) < limit
    assert worst_t(point, biased, "encoder") < limit
    assert worst_t(point, biased, "decoder") > 10.0 > limit


def test_stacks_of_any_size_hold_the_same_replicas():
    point = gaussian_point(wrong=1.0)
    config = with_objective(GAUSSIAN, Choice("iwae"), 4)
    together = list(replicas(point, config, "s", 11))
    apart = list(replicas(point, config, "s", 11, max_elements=130))
    assert (len(together), len(apart)) == (1, 4)
    for side in SIDES:
        joined = torch.cat([part[side] for part in apart])
        torch.testing.assert_close(joined, together[0][side], rtol=1e-12, atol=1e-12)
        assert joined.std(0).amax() > 0


def test_replicas_have_the_gradient_of_the_training_loop():
    """Sum over the stack of the minibatch's mean: each replica as if it were alone."""
    from vaebench.models.terms import compute_terms
    from vaebench.ops.noise import Noise, key

    point = gaussian_point(wrong=1.0)
    config = with_objective(GAUSSIAN, Choice("elbo_mc"), 3)
    (part,) = replicas(point, config, "s", 2)
    model = point.model.requires_grad_(True)
    noise = Noise((key(config.seed, "gradients", "s", 1),))
    OBJECTIVES["elbo_mc"](compute_terms(model, point.x, noise, num_samples=3)).mean().backward()
    for side in SIDES:
        alone = torch.cat([p.grad.flatten() for p in parameters(model)[side]])
        torch.testing.assert_close(part[side][1], alone, rtol=1e-12, atol=1e-12)


# ------------------------------------------------------------------ the numbers


def known(num=4000, mean=(3.0, 0.0, 4.0), spread=(1.0, 2.0, 2.0), seed=0):
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randn(num, 3, generator=generator, dtype=torch.float64)
    moments = Moments(torch.eye(3, dtype=torch.float64))
    for part in (torch.tensor(mean) + draws * torch.tensor(spread)).split(900):
        moments.add(part)
    return moments


def test_signal_and_noise_of_known_gradients():
    moments = known()
    computed = {f: estimate(moments, f) for f in (snr_of_vector, snr_of_parameters, norm)}
    expected = {snr_of_vector: 5 / 3, snr_of_parameters: 5 / 3, norm: 5.0}
    for figure, value in expected.items():
        error = computed[figure].standard_error
        assert abs(computed[figure].value - value) < 4 * error + 0.01
        assert 0 < error < 0.1 * value


def test_directional_snr_is_that_of_its_definition():
    """Along the first axis |3 + e|, across it the norm of the others."""
    values = known()
    ratio = directional_snr(values, 0)
    g = values.along
    exact = (g[:, 0].abs() / g[:, 1:].norm(dim=1)).mean()
    assert ratio.value == pytest.approx(float(exact), rel=1e-9)


def test_noise_alone_shows_no_distance():
    few = [known(num=50, seed=s).summary() for s in range(60)]
    seen = [distance(a, b) ** 2 for a, b in itertools.pairwise(few)]
    assert sum(seen) / len(seen) < 0.7 * (9 / 50 + 9 / 50) / 25  # what the noise alone would show
    ours, same, other = known(seed=1), known(seed=2), known(mean=(3.0, 0.0, 0.0), seed=3)
    assert distance(ours.summary(), other.summary()) == pytest.approx(4 / 3, abs=0.1)
    assert cosine(ours.summary(), other.summary()) == pytest.approx(0.6, abs=0.05)
    assert float(bias_t(ours, same).abs().max()) < band(3)
    assert float(bias_t(ours, other)[2].abs()) > 30


def test_signal_is_free_of_the_noise_of_the_mean():
    """Pure noise has a squared signal of 0 in expectation, where its mean has trace / R."""
    computed = torch.tensor(
        [known(num=20, mean=(0.0, 0.0, 0.0), seed=s).summary().squared_signal for s in range(200)]
    )
    assert abs(float(computed.mean())) < 4 * float(computed.std()) / 200**0.5
    assert 4 * float(computed.std()) / 200**0.5 < 0.5 * 9 / 20


def test_no_parameter_moved_is_no_number():
    still = Moments(torch.zeros(2, 0, dtype=torch.float64))
    still.add(torch.zeros(20, 2))
    assert math.isnan(snr_of_parameters(still.summary()))
    assert math.isnan(snr_of_vector(still.summary()))
    still.add(torch.tensor([[0.0, 1.0], [0.0, 3.0]]).repeat(10, 1))
    one = still.summary()
    assert snr_of_parameters(one) == pytest.approx(float(one.mean[1] / one.variance[1].sqrt()))


# ------------------------------------------------------------------ the plan


@pytest.mark.parametrize(
    "name, side, expected",
    [
        ("dreg", "encoder", "iwae"),
        ("elbo_stl", "encoder", "elbo_mc"),
        ("elbo", "encoder", "elbo_mc"),
        ("elbo_low_variance", "decoder", "elbo"),
        ("iwae", "encoder", "iwae"),
        ("tvo", "encoder", "tvo(partitions=4, beta_1=0.1)"),
        ({"name": "piwae", "groups": 4}, "encoder", "miwae(groups=4)"),
        ({"name": "piwae", "groups": 4}, "decoder", "iwae"),
    ],
)
def test_what_a_gradient_should_be(name, side, expected):
    config = tiny(objective=name, num_samples=8)
    assert str(target(config, side).objective) == expected
    assert target(config, side).num_samples == 8


def test_one_set_of_weights_for_all():
    configs = [tiny(), tiny(objective="iwae", seed=1), tiny(objective="iwae", num_samples=5)]
    assert [c.objective.name for c in plan("s", configs, [1], 16, []).variants] == ["elbo", "iwae"]
    with pytest.raises(InputError, match="likelihood must be one for all runs"):
        plan("s", [tiny(), tiny(likelihood="continuous_bernoulli")], [1], 16, [])


# ------------------------------------------------------------------ rows and the command


STUDY = """
name = "tiny"
[base]
likelihood = "bernoulli"
model = { latent_dim = 2, widths = [8] }
train = { num_steps = 20, batch_size = 8 }
data = { name = "digits", binarisation = "dynamic" }
[axes]
objective = ["elbo", "iwae", "piwae", "factor_vae", "dip_vae_i"]
"""


def call(*arguments):
    return CliRunner(env={"COLUMNS": "200"}).invoke(main, [str(a) for a in arguments])


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(STUDY)
    return path


FEW = ("--samples", "1,4", "--replicas", 16, "--at", "0,20")


@pytest.mark.slow
def test_the_command_end_to_end(study, tmp_path):
    out = tmp_path / "out"
    done = call("gradients", study, *FEW, "--out", out)
    assert done.exit_code == 0, done.output
    assert "signal-to-noise of the encoder's gradient after 20 steps" in done.stdout
    rows = json.loads((out / "gradients.json").read_text())
    with (out / "gradients.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(rows)
    for name in ("snr.png", "cost.png", "bias.png", "budget.png", "table.csv"):
        assert (out / name).stat().st_size > 500
        assert str(out / name) in done.stdout
    refused = "refused: piwae(groups=2) K=1: it needs num_samples >= 2; got 1"
    assert done.stdout.count(refused) == 1
    assert "refused: factor_vae" in done.stdout


def test_every_variant_k_and_checkpoint_has_its_rows_or_a_reason():
    names = ["elbo", "piwae", "dip_vae_i", "factor_vae"]
    configs = [tiny(objective=name, num_samples=4) for name in names]
    planned = plan("s", configs, [1, 3, 4], 16, [0, 12])
    counted = []
    rows = measure(planned, counted.append)
    assert sum(counted) == planned.num_cells == 24
    computed = {
        (r["step"], r["variant"], r["num_samples"], r["side"]): r for r in rows if r["metric"]
    }
    for step in (0, 12):
        for variant in {r["variant"] for r in rows}:
            for k in (1, 3, 4):
                reasons = [
                    r["reason"]
                    for r in rows
                    if (r["step"], r["variant"], r["num_samples"]) == (step, variant, k)
                    and r["status"] == "refused"
                    and not r["metric"]
                ]
                lost = "factor" in variant or (variant.startswith("piwae") and k != 4)
                assert bool(reasons) == lost
                assert all(((step, variant, k, side) in computed) != lost for side in SIDES)
    keys = {tuple(row) for row in rows}
    assert len(keys) == 1, "every row has the same columns"
    assert all(row["value"] is None or math.isfinite(row["value"]) for row in rows)
    table = wide(pd.DataFrame(rows))
    assert set(table["num_samples"]) == {1, 3, 4}
    assert table["variance_x_evaluations"].to_numpy() == pytest.approx(
        (table["variance"] * table["num_samples"] * 16).to_numpy()
    )


def test_same_seed_same_rows_but_for_times():
    planned = plan("s", [tiny(), tiny(objective="dreg")], [2], 16, [12])
    first, second = (
        [r for r in measure(planned) if "second" not in r["metric"] and r["unit"] != "ms"]
        for _ in range(2)
    )
    assert first == second


def test_a_gradient_that_is_not_finite_is_a_row_with_the_reason():
    @objective(source="a mistake", bound="none")
    def lost(t):
        return t.distortion * math.inf

    try:
        rows = measure(plan("s", [tiny(objective="elbo"), tiny(objective="lost")], [1], 16))
    finally:
        OBJECTIVES._entries.pop("lost")
    reasons = {r["reason"] for r in rows if r["variant"] == "lost" and r["status"] == "failed"}
    assert reasons == {f"the {side}'s gradient is not finite in every replica" for side in SIDES}


MISTAKES = {
    "samples": (["--samples", "1,two"], "must be whole numbers, as in 1,4,16"),
    "zero": (["--samples", "0,1"], "samples must be whole numbers of at least 1"),
    "replicas": (["--replicas", "3"], "at least 16 replicas; got 3"),
    "at": (["--at", "21"], "within training, 0 to 20 steps"),
    "several": (["--set", "axes.likelihood=['bernoulli', 'gaussian_learned']"], "must be one for"),
    "objective": (["--set", "axes.objective=iwea"], "did you mean 'iwae'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_status_2(study, tmp_path, mistake):
    arguments, message = MISTAKES[mistake]
    done = call("gradients", study, *FEW, "--out", tmp_path / "out", *arguments)
    assert done.exit_code == 2, done.output
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.rglob("*.json"))


def test_the_envelope_takes_the_best_k_of_each_budget():
    """Bias 0.5 at K = 1, none at K = 4; unit noise of one sample."""
    rows = [
        {"step": 1, "side": "decoder", "variant": "v", "num_samples": k, "batch_size": 10}
        | {"metric": metric, "value": value}
        for k, bias in ((1, 0.5), (4, 0.0))
        for metric, value in {
            "log_px_relative_error": bias,
            "log_px_relative_noise": k**-0.5,
        }.items()
    ]
    computed = envelope(pd.DataFrame(rows))
    assert computed["error"].iloc[0] == pytest.approx(math.sqrt(0.25 + 1.0))
    assert computed["error"].iloc[-1] == pytest.approx(math.sqrt(10 / computed["budget"].iloc[-1]))
