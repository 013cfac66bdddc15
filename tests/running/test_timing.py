"""The timing pass: what it reports, not how fast it is."""

import dataclasses

import pytest
import torch

from tests.support.runs import tiny
from vaebench import results
from vaebench.config.resolve import resolve
from vaebench.core.errors import InputWarning
from vaebench.core.memory import PeakBytes
from vaebench.objectives import OBJECTIVES
from vaebench.ops import note
from vaebench.running import timing
from vaebench.running.harness import time_all, train_all
from vaebench.running.timing import NUM_ROUNDS, Lap, Variant, _baseline, _ratio, timing_pass
from vaebench.training.stepping.eager import eager
from vaebench.training.stepping.ways import WAYS

MIB = 2**20


def test_peak_bytes_of_known_work():
    a = torch.randn(256, 1024)  # 1 MiB, before the count
    with PeakBytes() as counted:
        b = a + 1
        c = (b * 2).relu()
        del b
        c += a.view(-1)[:1024]
        del c
    assert counted.peak == 3 * MIB
    assert counted.held == 0


def test_peak_bytes_sees_the_backward_pass():
    a = torch.randn(256, 1024, requires_grad=True)
    with PeakBytes() as counted:
        a.exp().sin().sum().backward()
    assert counted.peak >= 3 * MIB


def test_one_record_per_variant_with_its_protocol():
    variants = [
        Variant(resolve([tiny(objective=name, seed=seed) for seed in (0, 1)]))
        for name in ("elbo", "elbo_mc")
    ]
    elbo, elbo_mc = timing_pass(variants, "s", "cpu")
    assert (elbo.labels.variant, elbo_mc.labels.variant) == ("elbo", "elbo_mc")
    computed = {m.metric: m for m in elbo.metrics}
    assert computed["step_time_ratio"].value == 1.0
    assert "2 runs stacked, eager steps, 1 thread" in computed["step_time"].protocol
    assert (
        computed["step_time_q20"].value
        <= computed["step_time"].value
        <= computed["step_time_q80"].value
    )
    assert computed["examples_per_s"].value == pytest.approx(16e3 / computed["step_time"].value)
    peaks = [{m.metric: m.value for m in r.metrics}["peak_memory"] for r in (elbo, elbo_mc)]
    weights = 64 * 8 + 8 + 8 * 4 + 4 + 2 * 8 + 8 + 8 * 64 + 64
    assert all(3 * 4 * weights / MIB < peak < 1.0 for peak in peaks)


def test_a_variant_that_raises_is_left_out_and_named(monkeypatch):
    entry = OBJECTIVES["elbo_mc"]
    raises = dataclasses.replace(entry, loss=lambda t: t.log_px_z[0, 1] / 0)
    monkeypatch.setitem(OBJECTIVES._entries, "elbo_mc", raises)
    variants = [Variant(resolve([tiny(objective=name)])) for name in ("elbo_mc", "elbo")]
    with pytest.warns(InputWarning, match="^elbo_mc is not timed: a step of 1 .* IndexError: "):
        (record,) = timing_pass(variants, "s", "cpu")
    assert record.labels.variant == "elbo"


def test_variants_take_turns(monkeypatch):
    order = []

    def timed(lap, device):
        next(lap.loop)
        order.append(lap.configs[0].objective.name)
        return 1.0

    monkeypatch.setattr(timing, "_timed", timed)
    variants = [Variant(resolve([tiny(objective=name)])) for name in ("elbo", "elbo_mc")]
    timing_pass(variants, "s", "cpu")
    assert order[-2 * NUM_ROUNDS :] == ["elbo", "elbo_mc"] * NUM_ROUNDS


def test_memory_is_the_same_every_time():
    variants = [Variant(resolve([tiny()]))]
    peaks = [
        {m.metric: m.value for m in timing_pass(variants, "s", "cpu")[0].metrics}["peak_memory"]
        for _ in range(2)
    ]
    assert peaks[0] == peaks[1]


def test_averages_of_weights_are_memory():
    train = {"num_steps": 12, "batch_size": 16}
    plain, averaged = (tiny(train={**train, "ema": ema}) for ema in (0.0, 0.9))
    records = timing_pass([Variant(resolve([run])) for run in (plain, averaged)], "s", "cpu")
    peaks = [{m.metric: m.value for m in r.metrics}["peak_memory"] for r in records]
    weights = 64 * 8 + 8 + 8 * 4 + 4 + 2 * 8 + 8 + 8 * 64 + 64
    assert peaks[1] - peaks[0] == pytest.approx(4 * weights / MIB)


def test_ratio_is_the_median_of_the_rounds_against_the_elbo_of_the_same_data():
    def lap(objective, likelihood, times):
        variant = Variant([tiny(objective=objective, likelihood=likelihood)])
        return Lap(variant, None, iter(()), 0.0, times_ms=times)

    base = lap("elbo", "bernoulli", [1.0, 2.0, 10.0])
    mine = lap("elbo_mc", "bernoulli", [2.0, 6.0, 10.0])
    other = lap("elbo", "gaussian_learned", [1.0, 1.0, 1.0])
    assert _baseline(mine, [other, mine, base]) is base
    assert _ratio(mine, base) == 2.0
    assert NUM_ROUNDS % 2 == 1


def test_rounds_are_of_whole_epochs_where_they_are_longer_than_one():
    """Each epoch shuffles and binarises: rounds that have one more of them would take longer."""
    steps = [timing._whole_epochs(num_steps, 17) for num_steps in (2, 16, 17, 25, 26, 48)]
    assert steps == [2, 16, 17, 17, 34, 51]


def compiled():
    """A way that says that it compiles."""

    def make_blocks(model, loss, descend, steps_left):
        note("training step", "compiled")
        note("training step", "found on disk in 0.1 s")
        return eager(model, loss, descend, steps_left)

    return make_blocks


def test_steps_are_timed_as_the_study_took_them(tmp_path, monkeypatch):
    """Steps are timed as its records say; and a second look times nothing."""
    monkeypatch.setitem(WAYS._entries, "compiled", compiled)
    configs = resolve([tiny(objective=name) for name in ("elbo", "elbo_mc")])
    train_all(configs[:1], tmp_path, "s", executor="inline", compiles="always")
    train_all(configs[1:], tmp_path, "s", executor="inline", compiles="never")
    time_all(configs, tmp_path, "s")
    before, protocols = results.timings(tmp_path), protocols_of(tmp_path)
    assert "1 runs stacked, compiled steps, 1 thread" in protocols[0]
    assert "1 runs stacked, eager steps, 1 thread" in protocols[1]
    monkeypatch.setattr("vaebench.running.harness.timing_pass", lambda *arguments: [])
    time_all(configs, tmp_path, "s")
    assert results.timings(tmp_path) == before
    train_all([*configs, tiny(seed=1)], tmp_path, "s", executor="inline", compiles="never")
    time_all([configs[0], tiny(seed=1)], tmp_path, "s")
    assert results.timings(tmp_path) == [], "one of its runs was eager: it is timed anew"


def protocols_of(folder):
    return [record.metrics[0].protocol for record in results.timings(folder)]
