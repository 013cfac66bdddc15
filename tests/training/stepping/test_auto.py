"""When a step is compiled: by a clock that the test turns, and a compiler that compiles nothing."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch

from tests.support.graphs import assert_alike, history, interpreted
from tests.support.runs import run_config
from vaebench import ops
from vaebench.training.stepping import auto, ways
from vaebench.training.stepping.compiled.trace import trace_step
from vaebench.training.stepping.eager import eager

NUM_STEPS, FIRST, LAST = 14, 1, 4
"""Of a run, and of those that are timed."""
EAGER = 1.0
"""Seconds of an eager step, of which compiling is assumed to save 0.3."""
SAVED = 0.3 * EAGER * (NUM_STEPS - LAST)
CONFIGS = [
    run_config({"name": "beta_elbo", "beta": beta}, seed=seed, num_steps=NUM_STEPS)
    for seed, beta in ((0, 1.0), (1, 4.0))
]
CLOSE = {"rtol": 1e-10, "atol": 1e-12}


class World:
    """What the steps of a test cost, and what happened."""

    def __init__(self):
        self.now, self.compiled_seconds = 0.0, 0.5 * EAGER
        self.taken, self.num_compiled = [], 0
        self.error = None
        self.known = auto.Compilations()
        self.auto, self.always = (partial(way, self.known) for way in (auto.Auto, auto.Always))

    def compile_step(self, *arguments):
        self.num_compiled += 1
        if self.error:
            raise self.error
        return SimpleNamespace(trace=trace_step(*arguments), seconds=1.0, from_disk=False)

    def slowed(self, make, name, seconds):
        """The way to take blocks, on this clock."""

        def make_slowed(*arguments):
            take = make(*arguments)

            def slow(some, *others):
                self.taken += [name] * len(some.steps)
                self.now += sum(seconds() for _ in some.steps)
                return take(some, *others)

            return slow

        return make_slowed


def by_its_trace(model, loss, descend, graph):
    """As CompiledBlocks, operation by operation."""
    return interpreted(model, loss, descend, graph.trace)


@pytest.fixture
def world(monkeypatch):
    made = World()
    slow_eager = made.slowed(eager, "eager", lambda: EAGER)
    compiled = made.slowed(by_its_trace, "compiled", lambda: made.compiled_seconds)
    for name, value in {
        "FIRST_TIMED": FIRST,
        "LAST_TIMED": LAST,
        "ASSUMED_DISPATCH": 0.0,
        "ASSUMED_SAVING": 0.3,
        "ASSUMED_SECONDS": SAVED - 0.1,
        "time": SimpleNamespace(perf_counter=lambda: made.now),
        "compile_step": made.compile_step,
        "eager": slow_eager,
        "CompiledBlocks": compiled,
    }.items():
        monkeypatch.setattr(auto, name, value)
    ops.forget_paths()
    yield made
    ops.forget_paths()


def said():
    return ops.paths()["training step"]


def reference():
    return history(CONFIGS, eager)


def test_compiles_where_the_steps_left_pay_for_it(world):
    assert_alike(history(CONFIGS, world.auto), reference(), **CLOSE)
    assert world.taken == ["eager"] * LAST + ["compiled"] * (NUM_STEPS - LAST)
    assert world.num_compiled == 1
    assert "compiled in 1.0 s" in said()
    assert "compiled: 0.50 of the eager step's time" in said()


def test_does_not_compile_for_few_steps(world, monkeypatch):
    monkeypatch.setattr(auto, "ASSUMED_SECONDS", SAVED + 0.1)
    history(CONFIGS, world.auto)
    assert world.taken == ["eager"] * NUM_STEPS
    assert world.num_compiled == 0
    assert said() == "eager: compiling takes 3 s and may save 3.0 s"


def test_the_first_steps_are_not_timed(world, monkeypatch):
    """They load code and warm up caches: by one slow step it would seem worth while."""
    monkeypatch.setattr(auto, "ASSUMED_SECONDS", SAVED + 0.1)
    seconds = iter([1e6] * FIRST + [EAGER] * NUM_STEPS)
    slow_eager = world.slowed(eager, "eager", lambda: next(seconds))
    monkeypatch.setattr(auto, "eager", slow_eager)
    history(CONFIGS, world.auto)
    assert world.num_compiled == 0


def test_what_compiling_took_before_is_what_it_is_taken_to_cost(world):
    graph = SimpleNamespace(seconds=SAVED + 5.0, from_disk=False)
    world.known.graphs["other runs"] = graph
    world.known.graphs["runs of another time"] = SimpleNamespace(seconds=0.0, from_disk=True)
    history(CONFIGS, world.auto)
    assert world.num_compiled == 0
    graph.seconds = SAVED - 0.2
    history(CONFIGS, world.auto)
    assert world.num_compiled == 1


def test_a_graph_from_disk_says_nothing_of_what_compiling_takes(world, monkeypatch):
    monkeypatch.setattr(auto, "ASSUMED_SECONDS", SAVED + 0.1)
    world.known.graphs["runs of another time"] = SimpleNamespace(seconds=0.0, from_disk=True)
    history(CONFIGS, world.auto)
    assert world.num_compiled == 0


def test_the_next_stack_of_such_runs_takes_the_graph_from_its_first_step(world):
    history(CONFIGS, world.auto)
    world.taken.clear()
    assert_alike(history(CONFIGS, world.auto), reference(), **CLOSE)
    assert world.taken == ["compiled"] * NUM_STEPS
    assert world.num_compiled == 1
    history(CONFIGS[:1], world.auto)
    assert world.taken == ["compiled"] * 2 * NUM_STEPS, "a smaller stack"
    world.taken.clear()
    history([*CONFIGS, *CONFIGS], world.auto)
    assert world.taken == ["eager"] * LAST + ["compiled"] * (NUM_STEPS - LAST), "a larger one"
    assert world.num_compiled == 1


def test_goes_back_where_compiled_steps_are_slower_and_remembers(world):
    world.compiled_seconds = 1.5 * EAGER
    assert_alike(history(CONFIGS, world.auto), reference(), **CLOSE)
    turns = ["eager"] * LAST + ["compiled"] * LAST + ["eager"] * (NUM_STEPS - 2 * LAST)
    assert world.taken == turns
    assert "eager: compiled it took 1.50 of the eager step's time" in said()
    world.taken.clear()
    history(CONFIGS, world.auto)
    assert world.taken == ["eager"] * NUM_STEPS
    world.taken.clear()
    history(CONFIGS[:1], world.auto)
    assert world.taken == turns, "a smaller stack: its eager run costs more"
    assert world.num_compiled == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("no compiler\nand a long story"), "RuntimeError: no compiler"),
        (AssertionError(), "AssertionError: "),
    ],
)
def test_a_compiler_that_fails_stops_no_training_and_is_asked_once(world, error, reason):
    world.error = error
    assert_alike(history(CONFIGS, world.auto), reference(), rtol=0.0, atol=0.0)
    assert world.taken == ["eager"] * NUM_STEPS
    assert said() == f"eager: it could not be compiled: {reason}"
    history(CONFIGS, world.auto)
    assert world.num_compiled == 1


def test_always_is_compiled_from_the_first_step_and_says_what_stops_it(world):
    assert_alike(history(CONFIGS, world.always), reference(), **CLOSE)
    assert world.taken == ["compiled"] * NUM_STEPS
    history(CONFIGS, world.always)
    assert world.num_compiled == 1
    world.known.graphs.clear()
    world.error = RuntimeError("no compiler")
    with pytest.raises(RuntimeError, match="no compiler"):
        history(CONFIGS, world.always)


def test_strides_are_timed_by_the_steps_in_them(world):
    """Part of a block is one way's, and the rest the other's."""
    expected = history(CONFIGS, eager, at_once=3)
    assert_alike(history(CONFIGS, world.auto, at_once=3), expected, **CLOSE)
    assert world.taken == ["eager"] * LAST + ["compiled"] * (NUM_STEPS - LAST)
    assert "compiled: 0.50 of the eager step's time" in said()


def test_two_ways_know_nothing_of_one_another(world):
    history(CONFIGS, world.auto)
    history(CONFIGS, partial(auto.Auto, auto.Compilations()))
    assert world.num_compiled == 2


def test_never_is_eager_to_the_end(world, monkeypatch):
    monkeypatch.setattr(auto, "ASSUMED_SECONDS", 0.0)
    monkeypatch.setattr(ways, "eager", auto.eager)
    computed = history(CONFIGS, ways.COMPILE["never"](), torch.float32)
    assert_alike(computed, history(CONFIGS, eager, torch.float32), rtol=0.0, atol=0.0)
    assert world.taken == ["eager"] * NUM_STEPS
    assert world.num_compiled == 0


@pytest.mark.parametrize("name", ["auto", "always"])
def test_the_named_ways_compile(world, name):
    way = ways.COMPILE[name]()
    for _ in range(2):
        history(CONFIGS, way)
    assert world.num_compiled == 1
    history(CONFIGS, ways.COMPILE[name]())
    assert world.num_compiled == 2
