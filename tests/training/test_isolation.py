"""What users' files define is tried on two runs before it trains: what mixes them is refused."""

import inspect
from dataclasses import replace

import pytest
import torch

from tests.support.runs import pairs, run_config, sampled, tiny
from vaebench import results
from vaebench.config.build import load_data
from vaebench.core.errors import InputError
from vaebench.core.user_code import package_of
from vaebench.diagnostics.gradients import measure, plan
from vaebench.models import MODELS
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.posteriors import POSTERIORS
from vaebench.models.priors import PRIORS
from vaebench.objectives import OBJECTIVES, Auxiliary
from vaebench.running.harness import train_all
from vaebench.training import isolation
from vaebench.training.isolation import STAGES, check_isolated

CPU = torch.device("cpu")


def check(*configs):
    check_isolated(configs, load_data(configs[0].data), CPU)


@pytest.fixture
def put(monkeypatch):
    """Puts a changed entry in the place of a registered one."""

    def change(registry, name, **parts):
        entry = replace(registry[name], **parts)
        monkeypatch.setitem(registry._entries, name, entry)

    return change


def mixed(values, axis=-2):
    """Half of each run's own, half of the mean over all: [..., S, B] where no axis is named."""
    return 0.5 * values + 0.5 * values.mean(axis, keepdim=True)


def elbo_with(part):
    """The ELBO with something more, as a user's file would define it."""
    return {"loss": lambda t: t.distortion + t.rate + part(t)}


MIXING_LOSSES = {
    "relative to all": lambda t: t.rate / t.rate.mean().detach(),
    "the run before it": lambda t: 1e-3 * t.rate.roll(1, 0),
    "the gradient alone": lambda t: (t.rate - t.rate.detach()) * t.rate.mean().detach(),
    "the number of runs": lambda t: t.rate / t.shape[0],
    "in float32": lambda t: t.rate.float() @ torch.ones(t.shape[1], t.shape[1]) * t.rate.mean(),
}


@pytest.mark.parametrize("part", MIXING_LOSSES)
@pytest.mark.parametrize("seeds", [(0,), (5,), (0, 1), (3, 3)])
def test_an_objective_that_mixes_runs_is_refused_in_a_stack_of_any_size(put, part, seeds):
    put(OBJECTIVES, "elbo", **elbo_with(MIXING_LOSSES[part]))
    with pytest.raises(InputError, match=r"objective 'elbo' must keep .* \(axis S\); beside .* "):
        check(*(tiny(seed=seed) for seed in seeds))


HONEST_LOSSES = {
    "mean over the batch": lambda t: t.rate / t.rate.mean(-1, keepdim=True).detach(),
    "in float32": lambda t: t.rate.float() @ torch.eye(t.shape[1]),
    "one run at a time": lambda t: t.rate.reshape(1, -1),
    "raises": lambda t: 1 / 0,
    "nan": lambda t: t.rate * float("nan"),
}


@pytest.mark.parametrize("part", HONEST_LOSSES)
@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_what_does_not_mix_runs_is_left_to_training(put, part, seeds):
    put(OBJECTIVES, "elbo", **elbo_with(HONEST_LOSSES[part]))
    before = torch.get_rng_state()
    check(*(tiny(seed=seed) for seed in seeds))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_random_numbers_that_no_run_owns_are_refused(put, seeds):
    put(OBJECTIVES, "elbo", **elbo_with(lambda t: torch.rand(t.shape)))
    with pytest.raises(InputError, match=r"objective 'elbo' must give .* same twice.*vb\.normals"):
        check(*(tiny(seed=seed) for seed in seeds))


def test_hyperparameters_of_one_seed_are_kept_apart(put):
    put(
        OBJECTIVES,
        "beta_elbo",
        loss=lambda t, *, beta=4.0: t.distortion + torch.as_tensor(beta).mean() * t.rate,
    )
    betas = [tiny(objective={"name": "beta_elbo", "beta": beta}) for beta in (1.0, 4.0)]
    with pytest.raises(InputError, match="objective 'beta_elbo' must keep"):
        check(*betas)


def test_what_a_warm_up_hides_at_the_first_step_is_seen(put):
    put(OBJECTIVES, "elbo", **elbo_with(lambda t: t.rate - t.rate.mean()))
    with pytest.raises(InputError, match="it gives the loss "):
        check(tiny(rate_weight={"name": "linear", "start": 0.0}))


def with_state(average, mean):
    """An objective with a running mean of the rate, each part of which may mix runs."""

    def loss(t, *, past=0.0):
        return t.distortion + t.rate + mean(torch.as_tensor(past).to(t.rate))

    def update(t, *, past):
        return {"past": past + average(t.rate.mean(-1, keepdim=True))}

    return {"loss": loss, "state": ("past",), "update": update}


@pytest.mark.parametrize(
    ("average", "mean", "what"),
    [
        (lambda rate: rate.mean().expand_as(rate), lambda past: past, "next state"),
        (lambda rate: rate, lambda past: past.mean(), "loss"),
    ],
    ids=["in the update", "in the loss"],
)
def test_state_is_kept_apart(put, average, mean, what):
    put(OBJECTIVES, "elbo", **with_state(average, mean))
    with pytest.raises(InputError, match=f"objective 'elbo' must keep .* it gives the {what} "):
        check(tiny())


def test_state_that_is_each_runs_own_passes(put):
    put(OBJECTIVES, "elbo", **with_state(lambda rate: rate, lambda past: past))
    check(tiny(seed=1), tiny(seed=2))


def of_likelihood(put):
    log_prob = LIKELIHOODS["gaussian"].log_prob

    def mixing(x, out, *, sigma=0.3):
        return mixed(log_prob(x, out, sigma=sigma))

    put(LIKELIHOODS, "gaussian", log_prob=mixing)
    return run_config(likelihood="gaussian"), "likelihood 'gaussian' .* log p"


def of_mean(put):
    put(LIKELIHOODS, "bernoulli", mean=lambda out: out.sigmoid() * out.mean())
    return run_config(), "likelihood 'bernoulli' .* mean image"


def of_prior(put):
    name = next(n for n in PRIORS if n != "standard_normal" and not PRIORS[n].discrete)
    log_prob = PRIORS[name].log_prob

    def mixing(z, **parameters):
        return mixed(log_prob(z, **parameters))

    mixing.__signature__ = inspect.signature(log_prob)
    put(PRIORS, name, log_prob=mixing)
    return run_config("elbo_mc", prior=name), f"prior '{name}' .* log p"


def of_posterior(put):
    make = POSTERIORS["diagonal_gaussian"].distribution
    put(
        POSTERIORS,
        "diagonal_gaussian",
        distribution=lambda numbers, latent, network: make(mixed(numbers, 0), latent, network),
    )
    return run_config(), "posterior 'diagonal_gaussian' .* z"


def of_model(put):
    make = MODELS["mlp"].networks

    class Mixing(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return mixed(self.inner(x), 0)

    def networks(*arguments):
        encoder, decoder = make(*arguments)
        return encoder, Mixing(decoder)

    put(MODELS, "mlp", networks=networks)
    return run_config(), "model 'mlp' .* image"


def of_auxiliary(put):
    auxiliary = OBJECTIVES["factor_vae"].auxiliary

    def loss(terms):
        return mixed(auxiliary.loss(terms))

    put(OBJECTIVES, "factor_vae", auxiliary=Auxiliary(auxiliary.network, loss))
    return run_config("factor_vae"), "objective 'factor_vae' .* auxiliary loss"


@pytest.mark.parametrize(
    "mixing", [of_likelihood, of_mean, of_prior, of_posterior, of_model, of_auxiliary]
)
def test_every_part_is_named_that_mixes_runs(put, mixing):
    config, message = mixing(put)
    with pytest.raises(InputError, match=message):
        check(config)


def test_our_own_parts_are_not_tried_again(monkeypatch):
    """They are by tests/conformance/test_isolation.py, and cost nothing here."""

    def never(*_):
        raise AssertionError("a built-in part was tried")

    monkeypatch.setattr(isolation, "_steps", never)
    for registry in {stage.registry.kind: stage.registry for stage in STAGES}.values():
        for entry in registry.values():
            packages = set(map(package_of, isolation._functions(entry)))
            assert packages <= isolation.KNOWN_PACKAGES, entry
    check(tiny())


@pytest.fixture
def as_if_foreign(monkeypatch):
    monkeypatch.setattr(isolation, "KNOWN_PACKAGES", frozenset())


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_no_objective_of_ours_would_be_refused(as_if_foreign, objective):
    check(run_config(objective, seed=4))


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_no_likelihood_of_ours_would_be_refused(as_if_foreign, likelihood):
    check(run_config(likelihood=likelihood, num_samples=1, batch_size=2, seed=4))


@pytest.mark.parametrize(("posterior", "prior"), pairs())
def test_no_posterior_or_prior_of_ours_would_be_refused(as_if_foreign, posterior, prior):
    check(run_config(sampled(posterior), posterior=posterior, prior=prior, seed=4))


def test_bfloat16_is_no_mixing(as_if_foreign):
    check(run_config(precision="bfloat16"))


def test_the_run_is_recorded_with_the_reason_and_the_others_go_on(put, tmp_path):
    put(OBJECTIVES, "elbo", **elbo_with(MIXING_LOSSES["relative to all"]))
    configs = [tiny(seed=0), tiny(seed=1), tiny(objective="elbo_mc")]
    ended = train_all(configs, tmp_path, "mixes", executor="inline")
    assert list(ended.values()) == ["failed", "failed", "done"]
    for record in results.records(tmp_path):
        if record.status == "failed":
            line = record.reason.strip().splitlines()[-1]
            assert "objective 'elbo' must keep the runs of a stack apart (axis S)" in line
            assert record.training is None


def test_its_gradients_are_refused_too(put):
    put(OBJECTIVES, "elbo", **elbo_with(MIXING_LOSSES["relative to all"]))
    rows = measure(plan("mixes", [tiny()], [1], 32, [0]))
    assert {row["status"] for row in rows} == {"refused"}
    assert "must keep the runs of a stack apart" in rows[0]["reason"]
