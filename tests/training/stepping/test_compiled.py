"""Compiled steps: the numbers of the eager ones, and the same bits however they are divided.

What the compiler makes of a graph, and C of all steps of a stack, is seen on six kinds: each is
compiled once, and serves all its runs. `compiled/test_trace.py` has the graphs of all entries.
"""

from functools import partial

import pytest
import torch

from tests.support.compiling import (
    EXACT,
    IN_FLOAT32,
    KINDS,
    NUM_STEPS,
    SAME_BITS,
    always,
    beta,
    compiled,
    linear,
    stack_of,
    two_runs,
    where_possible,
)
from tests.support.graphs import OF_COMPILING, Interpreted, assert_alike, history, needs_compiler
from tests.support.runs import run_config, steps_of
from vaebench import ops
from vaebench.config.build import build_stack, load_data
from vaebench.models import select
from vaebench.objectives import OBJECTIVES, objective
from vaebench.ops import c
from vaebench.training.descent import gradient_norms
from vaebench.training.loop import training_steps
from vaebench.training.stepping import ways
from vaebench.training.stepping.compiled import block, library, way
from vaebench.training.stepping.eager import eager

pytestmark = [*OF_COMPILING, pytest.mark.slow]
every_kind = pytest.mark.parametrize("kind", KINDS)


def assert_same_bits(losses, tensors, expected_losses, expected_tensors):
    torch.testing.assert_close(losses, expected_losses, **SAME_BITS)
    torch.testing.assert_close(tensors, expected_tensors, **SAME_BITS)


@needs_compiler
@every_kind
def test_compiled_steps_are_the_eager_ones(kind):
    configs = stack_of(kind)
    plain = history(configs, eager, torch.float32, at_once=4)
    computed = compiled(configs)
    assert len(computed.rates) == 3, "of the last of 4, 4 and 2 steps"
    assert_alike(plain, computed, **IN_FLOAT32)


@needs_compiler
@every_kind
def test_strides_of_any_length_have_the_same_bits(kind):
    """So has what they give at their end."""
    single = compiled(stack_of(kind), at_once=1)
    for at_once in (4, 7):
        computed = compiled(stack_of(kind), at_once)
        assert_same_bits(computed.losses, computed.tensors, single.losses, single.tensors)
        ends = [*range(at_once - 1, NUM_STEPS, at_once), NUM_STEPS - 1]
        assert torch.equal(computed.rates, single.rates[ends])
        assert torch.equal(computed.distortions, single.distortions[ends])
        expected = [single.states[end] for end in ends]
        torch.testing.assert_close(computed.states, expected, **SAME_BITS)


@needs_compiler
@every_kind
def test_a_compiled_run_has_the_same_bits_alone_and_in_a_stack(kind):
    stack = compiled(stack_of(kind))
    for run, config in enumerate(stack_of(kind)):
        alone = compiled([config])
        tensors = {name: t[run : run + 1] for name, t in stack.tensors.items()}
        assert_same_bits(stack.losses[:, run : run + 1], tensors, alone.losses, alone.tensors)


@needs_compiler
@every_kind
@pytest.mark.parametrize("runs", [[0, 1, 2], [2, 0]])
def test_compiled_runs_go_on_from_their_progress_as_if_they_had_not_stopped(kind, runs):
    """All of them, or some that others have left: the same bits, in other blocks."""
    configs = stack_of(kind)
    model, steps = steps_of(configs, always, at_once=4)
    before = next(steps)
    part, progress = select(model, runs), before.progress.of(runs)
    assert progress.index == 4
    rest = torch.cat([step.losses for step in steps])[:, runs]
    part_configs, dataset = [configs[run] for run in runs], load_data(configs[0].data)
    steps = training_steps(part, part_configs, dataset, always, progress, at_once=3)
    again = torch.cat([step.losses for step in steps])
    assert_same_bits(again, part.state_dict(), rest, select(model, runs).state_dict())


def norms(configs, make_blocks):
    """Norms of the gradients of the last step of each block, before clipping: [N, S]."""
    model, steps = steps_of(configs, make_blocks, at_once=4)
    computed = (gradient_norms(model) if s.grad_norm is None else s.grad_norm for s in steps)
    return torch.stack(list(computed))


@needs_compiler
@pytest.mark.parametrize("limits", [(None, 0.5, 2.0), (None, None, None)])
@pytest.mark.parametrize("kind", ["beta_elbo", "factor_vae"])
def test_each_run_has_its_limit_and_the_norm_is_the_one_before(kind, limits):
    """An auxiliary network counts for no norm, and is not clipped."""
    scalars = [{"seed": seed, "max_grad_norm": limit} for seed, limit in enumerate(limits)]
    configs = stack_of(kind, scalars)
    computed = norms(configs, always)
    torch.testing.assert_close(computed, norms(configs, eager), **IN_FLOAT32)
    assert_alike(history(configs, eager, torch.float32, 4), compiled(configs), **IN_FLOAT32)
    assert all((computed[:, run] > limit).all() for run, limit in enumerate(limits) if limit)


@needs_compiler
def test_a_state_moves_from_step_to_step_and_from_block_to_block():
    multipliers = torch.cat([s["multiplier"] for s in compiled(stack_of("geco"), 1).states], 1)
    assert (multipliers.diff() != 0).all()


@needs_compiler
def test_what_is_fitted_moves_where_evaluation_reads_it():
    plain = history(stack_of("gaussian_optimal"), eager, torch.float32)
    computed = compiled(stack_of("gaussian_optimal"))
    fitted = {name for name in computed.tensors if name.startswith("fitted.")}
    assert fitted
    for name in fitted:
        assert computed.tensors[name].dtype == torch.float64
        torch.testing.assert_close(computed.tensors[name], plain.tensors[name], **IN_FLOAT32)


@needs_compiler
@pytest.mark.parametrize("kind", ["iwae", "geco"])
def test_few_random_numbers_at_once_have_the_same_bits(kind, monkeypatch):
    """Where there are many, a block is taken in parts."""
    whole = compiled(stack_of(kind), at_once=7)
    monkeypatch.setattr(block, "NUMBERS_BYTES", 1)
    parts = compiled(stack_of(kind), at_once=7)
    assert_alike(parts, whole, **SAME_BITS)


@needs_compiler
def test_stacks_of_two_graphs_take_turns():
    """C is told before each block which graph it is to call."""
    pairs = [steps_of(stack_of(kind), always, at_once=4) for kind in ("geco", "iwae")]
    taken = zip(*(steps for _, steps in pairs), strict=True)
    for losses, kind in zip(zip(*taken, strict=True), ("geco", "iwae"), strict=True):
        computed = torch.cat([step.losses for step in losses])
        assert torch.equal(computed, compiled(stack_of(kind)).losses)


@needs_compiler
def test_a_parameter_with_other_memory_is_trained_there():
    """`.data` may be assigned between two blocks; what it was before stays as it was."""
    configs = stack_of("beta_elbo")
    expected = compiled(configs, at_once=4)
    dataset = load_data(configs[0].data)
    model = build_stack(configs, dataset.image_shape, dataset.log_volume)
    steps = training_steps(model, configs, dataset, always, at_once=4)
    losses = [next(steps).losses]
    before = [p.data for p in model.parameters()]
    kept = [p.data.clone() for p in model.parameters()]
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()
    losses += [step.losses for step in steps]
    assert torch.equal(torch.cat(losses), expected.losses)
    assert all(torch.equal(a, b) for a, b in zip(before, kept, strict=True))


@needs_compiler
@pytest.mark.parametrize("name", ["elbo", "reconstruction_only"])
def test_cases_of_an_objective_are_served_by_its_graph(name, monkeypatch):
    """It is on disk from the beta ELBO: nothing is traced."""
    compiled(stack_of("beta_elbo"))
    monkeypatch.setattr(library, "trace_step", lambda *_: pytest.fail("traced again"))
    configs = [
        run_config(**KINDS["beta_elbo"] | {"objective": name}, seed=seed, num_steps=10)
        for seed in (0, 1)
    ]
    served = history(configs, partial(way.CompiledSteps, way.Graphs()), torch.float32, 4)
    assert_alike(served, history(configs, eager, torch.float32, 4), **IN_FLOAT32)


@needs_compiler
def test_a_graph_serves_every_stack_of_its_kind(monkeypatch):
    """A stack may have any number of runs, with any scalars, constant or not."""

    def no_second_graph(*arguments):
        pytest.fail("runs of the same kind have a graph already")

    compiled(stack_of("beta_elbo"))
    monkeypatch.setattr(way, "compile_step", no_second_graph)
    rates = {"learning_rate": 1e-2}, {"rate_weight": 0.5}, {"rate_weight": linear(stop=2.0)}
    values = (0.5, linear(), linear(start=4.0, stop=1.0))
    for num_runs in (1, 2, 3):
        configs = [
            run_config(**KINDS["beta_elbo"] | beta(value) | options, seed=7, num_steps=NUM_STEPS)
            for value, options in list(zip(values, rates, strict=True))[:num_runs]
        ]
        plain = history(configs, eager, torch.float32)
        for make_blocks in (always, where_possible):
            computed = history(configs, make_blocks, torch.float32)
            assert_alike(plain, computed, **IN_FLOAT32)


def without_native_code(monkeypatch):
    monkeypatch.setattr(c, "library", lambda: None)
    return torch.float32, "compiled steps need native code"


def in_float64(monkeypatch):
    return torch.float64, "compiled steps need parameters in float32"


def with_an_untested_torch(monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.14.0+cpu")
    return torch.float32, "compiled steps use private interfaces of PyTorch, tested from 2.13 to "


@pytest.mark.parametrize("case", [without_native_code, in_float64, with_an_untested_torch])
def test_what_cannot_be_compiled_says_so_and_trains_eagerly(case, monkeypatch):
    if case is in_float64 and c.problem():
        pytest.skip(c.problem())
    dtype, reason = case(monkeypatch)
    with pytest.raises(RuntimeError, match=reason):
        history(two_runs(), ways.always(), dtype)
    ops.forget_paths()
    computed = history(two_runs(), ways.where_possible(), dtype)
    assert ops.paths()[ways.STEP] == "eager"
    assert reason in ops.paths()["compiling"]
    ops.forget_paths()
    assert_alike(computed, history(two_runs(), eager, dtype), **SAME_BITS)


def rotated(t, *, a, b, c):
    """States that take each other's values, one twice, in an order that is not the declared."""
    return {"c": a * 1.01, "b": c, "a": b}


@pytest.fixture
def three_states():
    """The ELBO with weights that an update moves, as a plugin's objective."""
    before = set(OBJECTIVES)

    @objective(source="a test", bound="none", state=("a", "b", "c"), update=rotated)
    def moving_weights(t, *, a=1.0, b=2.0, c=0.5):
        """Weights that change places: [S, B]."""
        return a * t.distortion + b * t.rate + c

    yield "moving_weights"
    for name in set(OBJECTIVES) - before:
        del OBJECTIVES._entries[name]


def test_states_that_change_places_are_handed_on(three_states):
    configs = [run_config(three_states, seed=seed, num_steps=6) for seed in (0, 1)]
    plain = history(configs, eager)
    assert_alike(plain, history(configs, Interpreted), **EXACT)
    assert len({state["a"][0].item() for state in plain.states}) == 6


@needs_compiler
def test_states_that_change_places_are_handed_on_by_c(three_states):
    configs = [run_config(three_states, seed=seed, num_steps=6) for seed in (0, 1)]
    plain = history(configs, eager, torch.float32, at_once=3)
    assert_alike(plain, compiled(configs, at_once=3), **IN_FLOAT32)


@needs_compiler
def test_an_operation_without_a_function_in_c_stays_eager_and_is_named(caplog):
    """A triangular solve: PyTorch's compiler would ask Python for it."""
    configs = [run_config("elbo_mc", posterior="full_gaussian", num_steps=8, seed=1)]
    with pytest.raises(RuntimeError, match=r"C for aten\.linalg_solve_triangular\.default: with"):
        history(configs, always, torch.float32)
    computed = history(configs, where_possible, torch.float32)
    assert_alike(computed, history(configs, eager, torch.float32), **SAME_BITS)
    assert "c-shim" not in caplog.text  # PyTorch's own warnings of it


def test_a_buffer_that_is_not_dense_is_refused():
    configs = two_runs()
    dataset = load_data(configs[0].data)
    model = build_stack(configs, dataset.image_shape)
    model.register_buffer("shared", torch.ones(1, 1, 1).expand(2, 3, 1))
    if not c.problem():
        with pytest.raises(RuntimeError, match="dense buffers"):
            next(training_steps(model, configs, dataset, always))
