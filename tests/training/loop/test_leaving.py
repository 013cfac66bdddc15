"""Runs that leave their stack, diverged or out of patience: they and the others are as if alone.

In float64, so that a stack and a run alone agree to many digits over all their steps, and a run
out of patience is so at the same point in both.
"""

import itertools
from functools import partial

import msgspec
import pytest
import torch

from tests.support.graphs import OF_COMPILING, Interpreted, needs_compiler
from tests.support.runs import BATCH, run_config, step_by_step, steps_of
from vaebench.config import Choice
from vaebench.config.build import build_stack, load_data
from vaebench.models import select
from vaebench.ops.adam import AdamScalars, Moments
from vaebench.training import loop
from vaebench.training.curves import CURVES, NUM_LOGGED
from vaebench.training.descent import StackAdam
from vaebench.training.loop import train, training_steps
from vaebench.training.progress import Progress
from vaebench.training.stepping.compiled.way import CompiledSteps, Graphs
from vaebench.training.stepping.eager import EagerStep, eager

pytestmark = OF_COMPILING
CPU = torch.device("cpu")
NUM_STEPS, EVERY = 87, 2
"""So that there are steps after the last point of a curve."""
CLOSE = {"rtol": 1e-7, "atol": 1e-9}
assert NUM_STEPS // NUM_LOGGED == EVERY
assert NUM_STEPS % EVERY != 0


@pytest.fixture(autouse=True)
def in_float64(monkeypatch):
    def build(*arguments):
        return build_stack(*arguments).double()

    monkeypatch.setattr(loop, "build_stack", build)


def rising(stop):
    return {"name": "linear", "stop": stop, "over": 0.2}


RISEN = 18
"""The first step of 87 at which `rising` has its last value: 0.2 * 87 = 17.4."""


VARIANTS = {
    "elbo": [{}, {}, {}],
    "state": [{"objective": {"name": "geco", "target": t}} for t in (10.0, 30.0, 60.0)],
    "auxiliary network": [{"objective": "factor_vae"}] * 3,
    "learned sigma": [{"likelihood": "gaussian_learned"}] * 3,
    "fitted sigma": [{"likelihood": "gaussian_optimal"}] * 3,
    "clipping": [{"max_grad_norm": norm} for norm in (None, 0.5, 2.0)],
    "weight decay": [{"weight_decay": decay} for decay in (0.1, 0.1, 0.5)],
    "schedule": [{"rate_weight": w} for w in (rising(1.0), 0.5, rising(3.0))],
    "learned prior": [{"objective": "elbo_mc", "prior": "vamp"}] * 3,
    "iwae": [{"objective": "iwae"}] * 3,
}
"""What each run of a stack has beside its seed, its learning rate and its patience."""
PATIENCE = (1, None, 2)
RATES = (0.05, 0.01, 0.1)


def stack_of(variant, patience=PATIENCE, rates=RATES, seeds=(0, 1, 2)):
    runs = zip(VARIANTS[variant], patience, rates, seeds, strict=True)
    settings = {"num_steps": NUM_STEPS, "num_samples": 2}
    return [
        run_config(**more, **settings, patience=patience, learning_rate=rate, seed=seed)
        for more, patience, rate, seed in runs
    ]


def trained(configs, make_blocks=eager):
    """The stack after training, and the steps that were reported."""
    reported = []
    result = train(configs, load_data(configs[0].data), CPU, reported.append, make_blocks)
    return result, reported


def without_patience(config):
    return msgspec.structs.replace(
        config, train=msgspec.structs.replace(config.train, patience=None)
    )


def points_until_out_of_patience(curve, patience, rises):
    """How many points a run has: to the first that is the `patience`-th in a row without a new
    best; all where there is none. Points while its schedule rises do not count."""
    best, waited = float("-inf"), 0
    elbos = curve["valid_elbo_nats"]
    for number, elbo in enumerate(elbos, 1):
        if rises and number * EVERY <= RISEN:
            continue
        best, waited = (elbo, 0) if elbo > best else (best, waited + 1)
        if waited == patience:
            return number
    return len(elbos)


def alone(config):
    """The curve of a run alone, without patience, and its tensors after each number of steps."""
    kept = []

    class Keeping(EagerStep):
        def __call__(self, *arguments):
            kept.append({name: t.clone() for name, t in self.model.state_dict().items()})
            return super().__call__(*arguments)

    result, _ = trained([without_patience(config)], step_by_step(Keeping))
    return result.curves[0], [*kept, result.model.state_dict()]


def assert_is_run(model, run, expected):
    """The tensors of one run of a stack are those of the run alone."""
    computed = {name: t[run : run + 1] for name, t in model.state_dict().items()}
    torch.testing.assert_close(computed, expected, **CLOSE)


def assert_curve(curve, expected, num_points):
    assert set(curve) == set(CURVES)
    for name in CURVES:
        assert curve[name] == pytest.approx(expected[name][:num_points], rel=1e-7), name


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_out_of_patience_leaves_with_its_weights_and_the_others_stay_untouched(variant):
    configs = stack_of(variant)
    stack, reported = trained(configs)
    ends = []
    for run, config in enumerate(configs):
        curve, tensors = alone(config)
        assert len(curve["step"]) == NUM_STEPS // EVERY
        patience = config.train.patience or NUM_STEPS
        rises = isinstance(config.rate_weight, Choice)
        num_points = points_until_out_of_patience(curve, patience, rises)
        assert_curve(stack.curves[run], curve, num_points)
        stopped = num_points < len(curve["step"])
        ends.append(num_points * EVERY if stopped else NUM_STEPS)
        assert_is_run(stack.model, run, tensors[ends[-1]])
    assert stack.diverged_at == (None,) * 3
    assert max(ends[0], ends[2]) < ends[1] == NUM_STEPS, "two leave, or nothing is seen here"
    assert sum(reported) == NUM_STEPS * 3


@pytest.mark.slow
def test_a_stack_whose_step_is_a_graph_shrinks_too():
    configs = stack_of("state")
    plain, traced = (trained(configs, make_blocks)[0] for make_blocks in (eager, Interpreted))
    assert list(map(len, _steps(plain))) == list(map(len, _steps(traced)))
    torch.testing.assert_close(plain.model.state_dict(), traced.model.state_dict(), **CLOSE)


@pytest.fixture
def in_float32(monkeypatch):
    """Which is what is compiled."""
    monkeypatch.setattr(loop, "build_stack", build_stack)


@pytest.mark.slow
@needs_compiler
def test_a_compiled_stack_shrinks_too(in_float32):
    """By one graph. The curves are those of eager runs but for roundings, and to the last bit those
    of each run alone."""
    graphs = Graphs()
    always = partial(CompiledSteps, graphs)
    configs = stack_of("elbo", patience=(None, 1, None), rates=(WILD, 0.1, 0.01))
    plain, compiled = (trained(configs, make_blocks)[0] for make_blocks in (eager, always))
    assert compiled.diverged_at == plain.diverged_at == (1, None, None)
    lengths = [len(steps) for steps in _steps(compiled)]
    assert lengths[0] == 1 < lengths[1] < lengths[2] == NUM_STEPS // EVERY
    for run in (1, 2):
        alone, _ = trained([configs[run]], always)
        assert compiled.curves[run] == alone.curves[0]
        for name in CURVES:
            assert compiled.curves[run][name] == pytest.approx(plain.curves[run][name], rel=1e-4)
    assert len(graphs.graphs_or_faults) == 1


def _steps(result):
    return [curve["step"] for curve in result.curves]


def test_runs_of_one_seed_leave_together():
    configs = stack_of("elbo", patience=(1, None, 1), rates=(0.1,) * 3, seeds=(3, 3, 3))
    stack, reported = trained(configs)
    first, _, third = _steps(stack)
    assert first == third
    assert len(first) < NUM_STEPS // EVERY
    assert sum(reported) == NUM_STEPS * 3
    for run in (0, 2):
        assert_is_run(stack.model, run, alone(configs[run])[1][int(first[-1])])
    assert_is_run(stack.model, 1, alone(configs[1])[1][NUM_STEPS])


def test_training_ends_where_the_last_run_leaves():
    configs = stack_of("elbo", patience=(1,) * 3, rates=(0.1,) * 3)
    stack, reported = trained(configs)
    last = [int(steps[-1]) for steps in _steps(stack)]
    assert max(last) < NUM_STEPS
    assert len(reported) <= max(last) // EVERY + 1
    assert sum(reported) == NUM_STEPS * 3
    for run, config in enumerate(configs):
        assert_is_run(stack.model, run, alone(config)[1][last[run]])


def test_patience_that_is_never_spent_changes_nothing():
    patient, plain = (trained(stack_of("elbo", patience=[p] * 3))[0] for p in (NUM_STEPS, None))
    assert patient.curves == plain.curves
    torch.testing.assert_close(patient.model.state_dict(), plain.model.state_dict(), rtol=0, atol=0)


# ------------------------------------------------------------------ divergence

WILD = 1e200
"""A learning rate after whose first step no loss is a real number, in float64 either."""


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["elbo", "state", "auxiliary network", "clipping"])
def test_runs_that_diverge_leave_and_the_others_are_as_alone(variant):
    configs = stack_of(variant, rates=(WILD, 0.01, 0.1))
    stack, reported = trained(configs)
    assert stack.diverged_at == (1, None, None)
    assert sum(reported) == NUM_STEPS * 3
    assert _steps(stack)[0] == [EVERY]
    curve, tensors = alone(configs[1])
    assert_curve(stack.curves[1], curve, NUM_STEPS)
    assert_is_run(stack.model, 1, tensors[NUM_STEPS])
    end = int(_steps(stack)[2][-1])
    assert end < NUM_STEPS
    assert_is_run(stack.model, 2, alone(configs[2])[1][end])


def test_where_all_diverge_training_ends():
    stack, reported = trained(stack_of("elbo", rates=(WILD,) * 3))
    assert stack.diverged_at == (1,) * 3
    assert reported == [NUM_STEPS * 3]


def test_a_run_that_diverges_after_the_last_point_has_diverged_there():
    """The 87th step is read when training is over."""
    configs = stack_of("schedule", patience=(None,) * 3)
    dataset = load_data(configs[0].data)

    class LastLossLost(EagerStep):
        num_taken = 0

        def __call__(self, *arguments):
            taken = super().__call__(*arguments)
            self.num_taken += 1
            if self.num_taken == NUM_STEPS:
                taken.loss[2] = float("nan")
            return taken

    result = train(configs, dataset, CPU, make_blocks=step_by_step(LastLossLost))
    assert result.diverged_at == (None, None, NUM_STEPS - 1)


# ------------------------------------------------------------------ going on from where it was

CODES = {"posterior": "categorical", "prior": "learned_categorical"}
IN_FLOAT32 = VARIANTS | {"discrete": [CODES] * 3}
EXACT = {"rtol": 0.0, "atol": 0.0}
DRAWN_ANEW = {"rtol": 1e-6, "atol": 1e-6}
"""The first step of a loop does not know yet what else to draw with its samples, and computes
log q(z|x) in another order."""


@pytest.mark.parametrize("num_steps", [1, 4, 6])
@pytest.mark.parametrize("variant", IN_FLOAT32)
def test_training_goes_on_from_its_progress_as_if_it_had_not_stopped(variant, num_steps):
    """An epoch has four steps here: in the middle of one, at its end and in the next."""
    configs = [
        run_config(**more, num_steps=10, batch_size=256, num_samples=2, seed=seed)
        for seed, more in enumerate(IN_FLOAT32[variant])
    ]
    dataset = load_data(configs[0].data)
    model, steps = steps_of(configs)
    before = list(itertools.islice(steps, num_steps))
    copy, progress = select(model, range(3)), before[-1].progress.of(range(3))
    assert progress.index == num_steps
    rest = torch.stack([step.loss for step in steps])
    again = [step.loss for step in training_steps(copy, configs, dataset, start=progress)]
    close = DRAWN_ANEW if variant == "iwae" else EXACT
    torch.testing.assert_close(torch.stack(again), rest, **close)
    torch.testing.assert_close(copy.state_dict(), model.state_dict(), **close)


def test_progress_of_some_runs_is_a_copy_of_theirs():
    model, _ = steps_of([run_config(seed=seed) for seed in range(3)])
    adam, scalars = StackAdam(model), [AdamScalars(1e-3)] * 3
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    adam.step(scalars)
    state = {"multiplier": torch.arange(3.0)[:, None]}
    part = Progress(7, adam.moments, state).of([2, 0])
    assert part.index == 7
    assert part.state["multiplier"].tolist() == [[2.0], [0.0]]
    assert isinstance(part.moments, Moments)
    for whole, subset in zip(adam.moments.second, part.moments.second, strict=True):
        assert torch.equal(subset, whole[[2, 0]])
    kept = [t.clone() for t in (*part.moments.first, part.moments.count)]
    adam.step(scalars)
    assert all(map(torch.equal, kept, (*part.moments.first, part.moments.count)))


def test_no_batch_is_larger_than_these_tests_think():
    dataset = load_data(run_config().data)
    assert len(dataset.train.x) // 256 == 4
    assert len(dataset.train.x) // BATCH < NUM_STEPS, "training passes from one epoch to the next"
