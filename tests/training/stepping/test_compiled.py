"""The step as a graph: the numbers of the eager one, for every entry of the registries.

Nearly all of them are traced and run operation by operation. What the compiler makes of a graph,
and C of all steps of a stack, is seen on six: each is compiled once, and serves all its runs.
"""

import subprocess
import sys
from functools import partial

import pytest
import torch

from tests.support import ROOT
from tests.support.graphs import (
    OF_COMPILING,
    Interpreted,
    assert_alike,
    by,
    graph_of,
    history,
    needs_compiler,
)
from tests.support.runs import pairs, run_config, sampled, step_by_step, steps_of, two_values
from vaebench import ops
from vaebench.config.build import build_stack, load_data
from vaebench.models import MODELS, select
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.objectives import OBJECTIVES, objective
from vaebench.ops import c
from vaebench.training.descent import gradient_norms
from vaebench.training.kind import step_kind
from vaebench.training.loop import training_steps
from vaebench.training.stepping import ways
from vaebench.training.stepping.compiled import (
    block,
    compile_graph,
    graph_key,
    is_on_disk,
    library,
    way,
)
from vaebench.training.stepping.compiled.trace import trace_step
from vaebench.training.stepping.eager import EagerStep, eager

pytestmark = [*OF_COMPILING, pytest.mark.slow]
NUM_STEPS = 10
EXACT = {"rtol": 1e-10, "atol": 1e-12}
"""In float64, where only the order of additions differs."""
ROUNDED = {"rtol": 1e-4, "atol": 1e-4}
"""In float32, after ten steps of Adam, which divides small differences by small gradients."""


def two_runs(objective="elbo", likelihood="bernoulli", **more):
    return [
        run_config(objective, likelihood, seed=seed, num_steps=NUM_STEPS, **more) for seed in (0, 1)
    ]


def sizes_of(model):
    return {"name": model, "widths": [] if model == "linear" else [4], "latent_dim": 2}


def linear(**points):
    return {"name": "linear", "over": 1.0, **points}


# ------------------------------------------------------------------ the traced graph


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_graph_of_every_objective_serves_stacks_of_other_scalars(name):
    """All values of the stack that it was traced for are others, or one for both runs."""
    scalars = {n: h for n, h in OBJECTIVES[name].hyper.items() if not h.integer}
    ends = [{n: two_values(h)[end] for n, h in scalars.items()} for end in (0, 1)]
    traced, served = (
        [
            run_config({"name": name, **hyper}, seed=seed, num_steps=NUM_STEPS)
            for seed, hyper in stack
        ]
        for stack in [((7, ends[1]), (8, ends[1])), ((0, ends[0]), (1, ends[1]))]
    )
    graph = graph_of(traced)
    assert_alike(history(served, eager), history(served, by(graph)), **EXACT)


def test_a_graph_that_was_traced_for_constants_takes_schedules():
    traced, served = (
        [run_config(**beta(value), rate_weight=weight, num_steps=NUM_STEPS, seed=1)] * 2
        for value, weight in ((2.0, 0.5), (linear(stop=4.0), linear()))
    )
    graph = graph_of(traced)
    assert_alike(history(served, eager), history(served, by(graph)), **EXACT)


@pytest.mark.parametrize(("posterior", "prior"), pairs())
def test_every_posterior_and_prior_are_traced(posterior, prior):
    """With prior draws too, where the objective compares aggregates."""
    for name in (sampled(posterior), "wae_mmd"):
        configs = two_runs(name, posterior=posterior, prior=prior)
        assert_alike(history(configs, eager), history(configs, Interpreted), **EXACT)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_every_likelihood_is_traced(likelihood):
    configs = two_runs("elbo", likelihood)
    assert_alike(history(configs, eager), history(configs, Interpreted), **EXACT)


@pytest.mark.parametrize("likelihood", [n for n, entry in LIKELIHOODS.items() if entry.fitted])
def test_what_is_fitted_in_closed_form_is_kept(likelihood):
    """Running values, in float64 whatever the model: the graph moves them in place."""
    configs = two_runs("elbo", likelihood)
    plain, traced = (history(configs, make, torch.float32) for make in (eager, Interpreted))
    assert_alike(plain, traced, **ROUNDED)
    for name in LIKELIHOODS[likelihood].fitted:
        assert (traced.tensors[f"fitted.of_{name}"] != 0).all()


@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_traced(name):
    configs = two_runs(model=sizes_of(name))
    assert_alike(history(configs, eager), history(configs, Interpreted), **EXACT)


def beta(value):
    return {"objective": {"name": "beta_elbo", "beta": value}}


def temperature(value):
    posterior = {"name": "gumbel_softmax", "temperature": value}
    return {"posterior": posterior, "prior": "uniform_categorical"}


def geco(speed):
    return {"objective": {"name": "geco", "target": 30.0, "speed": speed}}


SCHEDULED = {
    "rate weight": [{"rate_weight": linear()}] * 2,
    "rate weight of one run": [{"rate_weight": 0.4}, {"rate_weight": linear(stop=2.0)}],
    "hyperparameter": [beta(linear(stop=4.0)), beta(linear(start=4.0, stop=1.0))],
    "hyperparameter of one run": [beta(4.0), beta(linear(stop=4.0))],
    "temperature": [temperature(linear(start=2.0, stop=0.2)), temperature(0.7)],
    "state": [geco(0.05), geco(linear(start=0.1, stop=0.01))],
}
"""What the two runs of a stack have for scalars."""


@pytest.mark.parametrize("what", SCHEDULED)
def test_scalars_that_move_reach_the_graph(what):
    configs = [run_config(seed=3, num_steps=NUM_STEPS, **more) for more in SCHEDULED[what]]
    traced = history(configs, Interpreted)
    assert_alike(history(configs, eager), traced, **EXACT)
    if SCHEDULED[what][0] != SCHEDULED[what][1]:
        assert not torch.allclose(traced.losses[-1, 0], traced.losses[-1, 1])
    if what == "state":
        multipliers = torch.stack([state["multiplier"] for state in traced.states])
        assert not torch.allclose(multipliers[0], multipliers[-1])


class Untouched:
    """Traces at each step, and keeps what there was before and after."""

    def __init__(self, model, loss):
        self.model, self.loss, self.eager = model, loss, EagerStep(model, loss)

    def __call__(self, x, noise, scalars):
        given, before = (x.clone(), noise, str(scalars)), self._tensors()
        trace_step(self.model, self.loss, x, noise, scalars)
        torch.testing.assert_close(self._tensors(), before, rtol=0.0, atol=0.0)
        assert torch.equal(x, given[0])
        assert (noise, str(scalars)) == given[1:]
        assert noise.source is None
        return self.eager(x, noise, scalars)

    def _tensors(self):
        model = self.model
        assert all(p.requires_grad and p.is_leaf for p in model.parameters())
        gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
        return [{n: t.clone() for n, t in model.state_dict().items()}, gradients]


@pytest.mark.parametrize(
    ("objective", "likelihood"),
    [("elbo", "gaussian_optimal"), ("geco", "bernoulli"), ("factor_vae", "bernoulli")],
)
def test_tracing_changes_nothing(objective, likelihood):
    configs = [run_config(objective, likelihood, seed=seed, num_steps=3) for seed in (0, 1)]
    makes = eager, step_by_step(Untouched)
    plain, traced = (history(configs, make, torch.float32) for make in makes)
    assert_alike(plain, traced, rtol=0.0, atol=0.0)


# ------------------------------------------------------------------ the compiled graph

HIDDEN = {"name": "mlp", "widths": [12], "latent_dim": 2}
KINDS = {
    "beta_elbo": beta(4.0) | {"model": HIDDEN, "num_samples": 1},
    "iwae": {"objective": "iwae", "likelihood": "gaussian_learned", "num_samples": 3},
    "conv": {"model": sizes_of("conv")},
    "geco": geco(linear(start=0.1, stop=0.01)),
    "factor_vae": {"objective": "factor_vae"},
    "gaussian_optimal": {"likelihood": "gaussian_optimal"},
}
"""Plain; with a number of samples; with other layers; with a state; with an auxiliary network; and
with buffers that move."""
SCALARS = (
    {"seed": 0, "learning_rate": 1e-2, "weight_decay": 0.1},
    {"seed": 1, "learning_rate": 1e-3, "rate_weight": linear(start=0.5), "max_grad_norm": 0.5},
    {"seed": 2, "learning_rate": 3e-3, "weight_decay": 0.5, "max_grad_norm": 2.0},
)
"""In which the three runs of a stack differ."""
IN_FLOAT32 = {"rtol": 2e-4, "atol": 2e-4}
SAME_BITS = {"rtol": 0.0, "atol": 0.0}
every_kind = pytest.mark.parametrize("kind", KINDS)


def stack_of(kind, scalars=SCALARS, **more):
    return [run_config(**KINDS[kind] | own | more, num_steps=NUM_STEPS) for own in scalars]


GRAPHS = way.Graphs()
always, where_possible = partial(way.CompiledSteps, GRAPHS), partial(way.CompiledOrEager, GRAPHS)
"""Ways that share the graphs that are compiled for this file."""


def compiled(configs, at_once=4):
    return history(configs, always, torch.float32, at_once)


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
        own = {name: t[run : run + 1] for name, t in stack.tensors.items()}
        assert_same_bits(stack.losses[:, run : run + 1], own, alone.losses, alone.tensors)


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
    own, dataset = [configs[run] for run in runs], load_data(configs[0].data)
    steps = training_steps(part, own, dataset, always, progress, at_once=3)
    again = torch.cat([step.losses for step in steps])
    assert_same_bits(again, part.state_dict(), rest, select(model, runs).state_dict())


def norms(configs, make_blocks):
    """Of the gradients of the last step of each block, before clipping: [N, S]."""
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
    """Of any number of runs, with any scalars, constant or not."""

    def no_second_graph(*arguments):
        pytest.fail("runs of the same kind have a graph already")

    compiled(stack_of("beta_elbo"))
    monkeypatch.setattr(way, "compile_step", no_second_graph)
    rates = {"learning_rate": 1e-2}, {"rate_weight": 0.5}, {"rate_weight": linear(stop=2.0)}
    values = (0.5, linear(), linear(start=4.0, stop=1.0))
    for num_runs in (1, 2, 3):
        configs = [
            run_config(**KINDS["beta_elbo"] | beta(value) | own, seed=7, num_steps=NUM_STEPS)
            for value, own in list(zip(values, rates, strict=True))[:num_runs]
        ]
        plain = history(configs, eager, torch.float32)
        for make_blocks in (always, where_possible):
            computed = history(configs, make_blocks, torch.float32)
            assert_alike(plain, computed, **IN_FLOAT32)


# ------------------------------------------------------------------ where it is, and where not

ANOTHER_PROCESS = """
import sys

import torch

import tests.conftest  # one thread, as here
from tests.support.graphs import history
from tests.training.stepping import test_compiled
from vaebench.training.stepping.compiled import library


def traces_again(*arguments):
    raise AssertionError("the graph is there")


library.trace_step = traces_again
found = history(test_compiled.two_runs(), test_compiled.always, torch.float32)
torch.save(found.__dict__, sys.argv[1])
"""


@needs_compiler
def test_another_process_finds_the_code_on_disk(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    here = history(two_runs(), ways.always(), torch.float32)
    kept = (tmp_path / "vaebench" / "native" / "graphs").iterdir()
    assert sorted(path.suffix for path in kept) == [".json", ".so"]
    done = subprocess.run(
        [sys.executable, "-c", ANOTHER_PROCESS, tmp_path / "found.pt"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    there = torch.load(tmp_path / "found.pt")
    torch.testing.assert_close(there, here.__dict__, **SAME_BITS)


@needs_compiler
def test_a_graph_that_was_cut_off_is_made_again(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (config, _), dataset = two_runs(), load_data(two_runs()[0].data)
    key = graph_key(step_kind(config, dataset))
    assert not is_on_disk(key)
    assert not compile_graph(config, dataset).from_disk
    assert is_on_disk(key)
    assert compile_graph(config, dataset).from_disk
    (code,) = (tmp_path / "vaebench" / "native" / "graphs").glob("*.so")
    whole = code.read_bytes()
    code.unlink()  # it is loaded
    code.write_bytes(whole[:-1])
    assert not is_on_disk(key)
    assert not compile_graph(config, dataset).from_disk


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
    """Of several states: one another, the same twice, and in an order that is not the declared."""
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
def test_an_operation_without_a_function_in_c_stays_eager():
    """A triangular solve: PyTorch's compiler would ask Python for it."""
    configs = [run_config("elbo_mc", posterior="full_gaussian", num_steps=8, seed=1)]
    with pytest.raises(RuntimeError, match="from Python alone"):
        history(configs, always, torch.float32)
    computed = history(configs, where_possible, torch.float32)
    assert_alike(computed, history(configs, eager, torch.float32), **SAME_BITS)


def test_a_buffer_that_is_not_dense_is_refused():
    configs = two_runs()
    dataset = load_data(configs[0].data)
    model = build_stack(configs, dataset.image_shape)
    model.register_buffer("shared", torch.ones(1, 1, 1).expand(2, 3, 1))
    if not c.problem():
        with pytest.raises(RuntimeError, match="dense buffers"):
            next(training_steps(model, configs, dataset, always))
