"""A run that pauses, is written to a file and goes on has the bits of one that never paused."""

import io
from dataclasses import asdict

import pytest
import torch

from tests.support.runs import run_config
from vaebench.config.build import load_data
from vaebench.core.errors import InputError
from vaebench.models import tensors
from vaebench.training.checkpoints import Checkpoint
from vaebench.training.curves import interval
from vaebench.training.loop import train

CPU = torch.device("cpu")
NUM_STEPS = 120
EVERY = interval(NUM_STEPS)
SETTINGS = {"num_steps": NUM_STEPS, "num_samples": 2}
VARIANTS = {
    "elbo": {},
    "state": {"objective": {"name": "geco", "target": 30.0}},
    "auxiliary network": {"objective": "factor_vae"},
    "fitted sigma": {"likelihood": "gaussian_optimal"},
    "schedule": {"rate_weight": {"name": "linear", "over": 0.7}},
    "learned prior": {"objective": "elbo_mc", "prior": "vamp"},
    "clipping": {"max_grad_norm": 0.5},
    "best weights": {"keep": "best", "learning_rate": 0.05},
}


def stack_of(variant, num_runs=3, **more):
    return [
        run_config(
            **({"learning_rate": 0.01 * (1 + seed)} | VARIANTS[variant] | SETTINGS | more),
            seed=seed,
        )
        for seed in range(num_runs)
    ]


def paused(configs, *pauses, start=()):
    """The stack after training with pauses, of which each is a file; and the steps reported."""
    dataset, reported = load_data(configs[0].data), []
    for until in (*pauses, None):
        trained = train(configs, dataset, CPU, reported.append, start=start, until=until)
        start = [Checkpoint.from_bytes(c.to_bytes()) for c in trained.checkpoints]
    return trained, sum(reported)


def assert_same(one, other):
    assert one.curves == other.curves
    assert one.endings == other.endings
    assert one.diverged_at == other.diverged_at
    for a, b in zip(tensors(one.model), tensors(other.model), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("variant", VARIANTS)
def test_pausing_changes_no_bit(variant):
    configs = stack_of(variant)
    whole, in_parts = paused(configs), paused(configs, EVERY, 50 * EVERY // 2, 100 // EVERY * EVERY)
    assert_same(in_parts[0], whole[0])
    assert in_parts[1] == whole[1] == NUM_STEPS * len(configs)


def test_a_run_that_stops_early_before_a_pause_stays_as_it_is():
    configs = stack_of("best weights", patience=2)
    whole, parts = paused(configs), paused(configs, 60, 99)
    assert any(ending.steps < 60 for ending in whole[0].endings), "no run stopped before the pause"
    assert_same(parts[0], whole[0])


def test_a_stack_all_of_whose_runs_have_stopped_takes_no_step():
    configs = stack_of("best weights", patience=1)
    whole, _ = paused(configs)
    last = max(ending.steps for ending in whole.endings)
    assert last + EVERY < NUM_STEPS, "a run went on to the end: change the rates"
    parts, _ = paused(configs, last + EVERY)
    assert_same(parts, whole)


def test_members_that_leave_at_a_pause_leave_the_others_as_they_are():
    configs, dataset = stack_of("state"), load_data(stack_of("state")[0].data)
    first = train(configs, dataset, CPU, until=60)
    kept = [0, 2]
    left = train(
        [configs[i] for i in kept], dataset, CPU, start=[first.checkpoints[i] for i in kept]
    )
    whole = train(configs, dataset, CPU)
    for position, i in enumerate(kept):
        for name, values in left.curves[position].items():
            torch.testing.assert_close(
                torch.tensor(values), torch.tensor(whole.curves[i][name]), rtol=1e-3, atol=1e-4
            )


def test_a_diverged_run_has_no_effect_on_the_checkpoints_of_the_others():
    configs = stack_of("elbo")
    wild = run_config(**SETTINGS, learning_rate=1e30, seed=7)
    dataset = load_data(configs[0].data)
    trained = train([*configs, wild], dataset, CPU, until=60)
    alone = train(configs, dataset, CPU, until=60)
    assert trained.diverged_at[:3] == (None, None, None)
    assert trained.diverged_at[3] is not None
    for one, other in zip(trained.checkpoints, alone.checkpoints, strict=False):
        assert one.index == other.index == 60
        assert asdict(one)["curve"]["step"] == asdict(other)["curve"]["step"]


@pytest.mark.parametrize("change", [lambda parts: parts.pop("averages"), lambda p: p.update(b=1)])
def test_a_checkpoint_of_another_version_is_refused_in_a_line(change):
    config = run_config(num_steps=2)
    paused = train([config], load_data(config.data), CPU, until=1).checkpoints[0]
    parts = asdict(paused)
    change(parts)
    buffer = io.BytesIO()
    torch.save(parts, buffer)
    with pytest.raises(
        InputError, match=r"must go on in the version that paused it; .* again from"
    ):
        Checkpoint.from_bytes(buffer.getvalue())
