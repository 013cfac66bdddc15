"""The race against other systems: its statistics, its gate, its floor, and that all train alike."""

import numpy as np
import pytest

from benchmarks.peers.elbo import held_out_elbo
from benchmarks.peers.entries import FLOOR, PEERS, REFERENCE
from benchmarks.peers.floor import products
from benchmarks.peers.images import store
from benchmarks.peers.page import steps_page
from benchmarks.peers.race import Result, gate
from benchmarks.peers.report import fastest, ratio, summary, targets
from benchmarks.peers.work import Size, Work, initial_weights, minibatches

TINY = Size(
    name="small",
    dataset="digits",
    pixels=64,
    hidden=16,
    latent=2,
    batch=64,
    stack=4,
    stacks=(4,),
    curve=(2,),
    gate_steps=150,
    gate_runs=4,
    tolerance_nats=0.3,
    block=10,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return store(TINY, tmp_path_factory.mktemp("peers"))[0]


def timed(peer, num_runs, wall_ms, size="small"):
    return Result(
        size=size,
        data="digits",
        peer=peer,
        num_runs=num_runs,
        in_table=True,
        status="timed",
        gate_steps=10,
        elbo_nats=(-20.0, -21.0),
        wall_ms=tuple(wall_ms),
        cpu_ms=tuple(wall_ms),
    )


RESULTS = [
    timed("floor", 32, [1.0, 2.0, 3.0]),
    timed("vaebench", 1, [5.0, 5.0, 5.0]),
    timed("vaebench", 32, [1.5, 4.0, 4.5]),
    timed("jax-scan", 1, [2.0, 3.0, 4.0]),
    timed("jax-vmap-scan", 32, [1.0, 2.0, 3.0]),
    timed("pytorch-examples", 1, [15.0, 20.0, 45.0]),
]


def test_summary_is_median_and_quantiles():
    assert summary([5.0, 1.0, 2.0, 3.0, 4.0, 0.0]) == pytest.approx((2.5, 1.0, 4.0))


def test_ratios_are_taken_within_rounds():
    """The ratio of medians would be 2."""
    assert ratio(RESULTS[2], RESULTS[0]).median == 1.5


def test_the_fastest_variant_of_a_system():
    assert fastest(RESULTS, "JAX") is RESULTS[4]
    assert fastest(RESULTS, "JAX", 1) is RESULTS[3]
    assert fastest(RESULTS, "Pyro") is None


def test_targets_say_whether_they_are_met():
    met = targets(RESULTS).set_index(["ratio", "vaebench runs at once"])["met"]
    assert dict(met) == {
        ("vaebench / best JAX", "1"): "no",
        ("vaebench / best JAX", "32"): "no",
        ("pytorch/examples / vaebench", "32"): "yes",
        ("vaebench / floor", "32"): "yes",
    }


def test_the_page_tells_who_was_not_timed():
    reason = "held-out ELBO is off"
    lost = Result("small", "digits", "pythae", 1, True, "failed", reason, gate_steps=10)
    text = "\n".join(steps_page([*RESULTS, lost]))
    assert reason in text
    assert "not timed" in text


def test_the_gate_allows_noise_and_no_more():
    reference = [-20.1, -19.9, -20.0]
    assert gate([-20.3, -20.1, -20.2], reference, tolerance=0.1) == ""
    assert "-2.00 nats" in gate([-22.1, -21.9, -22.0], reference, tolerance=0.1)


def test_the_floor_has_every_product_of_a_step_once():
    """Each layer multiplies 2 B in out forward, for its weights, and all but the first for x."""
    made = list(products(TINY, num_runs=2))
    done = sum(2 * left.shape[-2] * left.shape[-1] * right.shape[-1] for left, right, _ in made)
    pairs = [inputs * outputs for inputs, outputs in TINY.layers.values()]
    assert len(made) == 11
    assert done == 2 * TINY.batch * (3 * sum(pairs) - pairs[0])
    assert all((left @ right).shape == out.shape for left, right, out in made)


def test_minibatches_take_every_image_once_an_epoch():
    batches = minibatches(12, 4, seed=0)
    epochs = [np.concatenate([next(batches) for _ in range(3)]) for _ in range(2)]
    assert all(sorted(epoch) == list(range(12)) for epoch in epochs)
    assert not np.array_equal(*epochs)


@pytest.fixture(scope="module")
def reference(data):
    """The reference's held-out ELBO, each run."""
    return [trained_elbo(REFERENCE, Work(TINY, data, 1, seed))[0] for seed in range(4)]


def trained_elbo(peer, work):
    prepared = peer.load()(work)
    prepared.train(TINY.gate_steps)
    return held_out_elbo(prepared.weights(), work.images("x_test"))


LIGHT = [p for p in PEERS if p.system != FLOOR.system and p.name != "vaebench-compiled"]
"""Compiling takes longer than all the others."""


@pytest.mark.slow
@pytest.mark.parametrize("peer", LIGHT, ids=lambda p: p.name)
def test_all_train_alike(peer, data, reference):
    try:
        peer.load()
    except ModuleNotFoundError as error:
        assert peer.system != "vaebench", error
        pytest.skip(f"needs what `nox -s peers` installs: {error}")
    start = Work(TINY, data, 4, 0)
    before = held_out_elbo(initial_weights(start), start.images("x_test"))
    works = [start] if peer.stacks else [Work(TINY, data, 1, seed) for seed in range(4)]
    elbo = [value for work in works for value in trained_elbo(peer, work)]
    assert min(elbo) > max(before) + 5.0
    assert gate(elbo, reference, TINY.tolerance_nats) == ""
