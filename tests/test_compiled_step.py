"""The step as a graph: the numbers of the eager one, for every entry of the registries.

Nearly all here run the traced graph operation by operation: what the compiler makes of one is
seen on three of them.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from graphs import Interpreted, assert_alike, by, graph_of, history
from runs import pairs, run_config, sampled, two_values

from vaebench import auto
from vaebench.compiled import trace_step
from vaebench.likelihoods import LIKELIHOODS
from vaebench.models import MODELS
from vaebench.objectives import OBJECTIVES
from vaebench.step import EagerStep

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning:torch.jit")
"""PyTorch's own compiler still uses torch.jit."""
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
    assert_alike(history(served, EagerStep), history(served, by(graph)), **EXACT)


def test_a_graph_that_was_traced_for_constants_takes_schedules():
    traced, served = (
        [run_config(**beta(value), rate_weight=weight, num_steps=NUM_STEPS, seed=1)] * 2
        for value, weight in ((2.0, 0.5), (linear(stop=4.0), linear()))
    )
    graph = graph_of(traced)
    assert_alike(history(served, EagerStep), history(served, by(graph)), **EXACT)


@pytest.mark.parametrize(("posterior", "prior"), pairs())
def test_every_posterior_and_prior_are_traced(posterior, prior):
    """With prior draws too, where the objective compares aggregates."""
    for objective in (sampled(posterior), "wae_mmd"):
        configs = two_runs(objective, posterior=posterior, prior=prior)
        assert_alike(history(configs, EagerStep), history(configs, Interpreted), **EXACT)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_every_likelihood_is_traced(likelihood):
    configs = two_runs("elbo", likelihood)
    assert_alike(history(configs, EagerStep), history(configs, Interpreted), **EXACT)


@pytest.mark.parametrize("likelihood", [n for n, entry in LIKELIHOODS.items() if entry.fitted])
def test_what_is_fitted_in_closed_form_is_kept(likelihood):
    """Running values, in float64 whatever the model: the graph moves them in place."""
    configs = two_runs("elbo", likelihood)
    eager, traced = (history(configs, make, torch.float32) for make in (EagerStep, Interpreted))
    assert_alike(eager, traced, **ROUNDED)
    for name in LIKELIHOODS[likelihood].fitted:
        assert (traced.tensors[f"fitted.of_{name}"] != 0).all()


@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_traced(name):
    configs = two_runs(model=sizes_of(name))
    assert_alike(history(configs, EagerStep), history(configs, Interpreted), **EXACT)


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
    assert_alike(history(configs, EagerStep), traced, **EXACT)
    if SCHEDULED[what][0] != SCHEDULED[what][1]:
        assert not torch.allclose(traced.losses[-1, 0], traced.losses[-1, 1])
    if what == "state":
        multipliers = torch.stack([state["multiplier"] for state in traced.states])
        assert not torch.allclose(multipliers[0], multipliers[-1])


class Untouched:
    """Traces at each step, and keeps what there was before and after."""

    def __init__(self, model, loss, steps_left):
        self.model, self.loss, self.eager = model, loss, EagerStep(model, loss)

    def __call__(self, x, noise, scalars):
        given, before = (x.clone(), noise, str(scalars)), self._tensors()
        trace_step(self.model, self.loss, x, noise, scalars)
        torch.testing.assert_close(self._tensors(), before, rtol=0.0, atol=0.0)
        assert torch.equal(x, given[0])
        assert (noise, str(scalars)) == given[1:]
        assert noise.tape is None
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
    plain, traced = (history(configs, make, torch.float32) for make in (EagerStep, Untouched))
    assert_alike(plain, traced, rtol=0.0, atol=0.0)


def test_constants_are_kept_and_what_moves_is_not():
    """Else every step would leave its scalars behind in memory."""
    configs = [run_config(**geco(linear()), seed=seed, num_steps=NUM_STEPS) for seed in (0, 1)]
    made = []

    def make_step(*arguments):
        made.append(Interpreted(*arguments))
        return made[0]

    history(configs, make_step)
    assert made[0].take.constant.cache_info().currsize <= 3


# ------------------------------------------------------------------ the compiled graph

needs_compiler = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="there is no C++ compiler"
)
HIDDEN = {"name": "mlp", "widths": [12], "latent_dim": 2}
COMPILED = {
    "beta_elbo": two_runs(**beta(4.0), model=HIDDEN, num_samples=1),
    "iwae": two_runs("iwae", "gaussian_learned", num_samples=3),
    "conv": two_runs(model=sizes_of("conv")),
}
IN_FLOAT32 = {"rtol": 2e-4, "atol": 2e-4}


@pytest.fixture
def no_graphs(monkeypatch):
    monkeypatch.setattr(auto, "_graphs", {})
    monkeypatch.setattr(auto, "_given_up", set())


@pytest.fixture(scope="module")
def kept_graph(tmp_path_factory):
    """The history of a compiled stack, its graph, and the folder with the code on disk."""
    folder = tmp_path_factory.mktemp("inductor")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(folder))
        patch.setattr(auto, "_graphs", {})
        return history(COMPILED["beta_elbo"], auto.Always, torch.float32), auto._graphs, folder


@needs_compiler
def test_a_compiled_step_is_the_eager_one(kept_graph):
    eager = history(COMPILED["beta_elbo"], EagerStep, torch.float32)
    assert_alike(eager, kept_graph[0], **IN_FLOAT32)


@needs_compiler
def test_all_sizes_are_known_to_the_compiler(kept_graph):
    """Else the hidden width, which no operation of this graph names, is an argument."""
    code = "".join(path.read_text() for path in kept_graph[2].rglob("*.main.cpp"))
    assert code
    assert not re.search(r"\bks\d", code)


@needs_compiler
@pytest.mark.parametrize("name", ["iwae", "conv"])
def test_compiled_steps_are_the_eager_ones(name, no_graphs):
    eager, compiled = (
        history(COMPILED[name], make, torch.float32) for make in (EagerStep, auto.Always)
    )
    assert_alike(eager, compiled, **IN_FLOAT32)


@needs_compiler
def test_a_graph_serves_every_stack_of_its_shape(kept_graph, monkeypatch):
    def no_second_graph(*arguments):
        pytest.fail("a stack of the same shape has a graph already")

    monkeypatch.setattr(auto, "_graphs", kept_graph[1])
    monkeypatch.setattr(auto, "compile_step", no_second_graph)
    configs = [
        run_config(
            **beta(value),
            model=HIDDEN,
            num_samples=1,
            seed=seed,
            num_steps=NUM_STEPS,
            learning_rate=rate,
            rate_weight=weight,
        )
        for seed, value, rate, weight in [(7, 0.5, 1e-2, 1.0), (8, linear(), 1e-3, 0.5)]
    ]
    eager = history(configs, EagerStep, torch.float32)
    for make_step in (auto.Always, auto.Auto):
        assert_alike(eager, history(configs, make_step, torch.float32), **IN_FLOAT32)


ANOTHER_PROCESS = """
import test_compiled_step
from graphs import history
from torch import float32
from torch._dynamo.utils import counters
from vaebench import auto

history(test_compiled_step.COMPILED["beta_elbo"], auto.Always, float32)
print(counters["inductor"]["fxgraph_cache_hit"], counters["inductor"]["fxgraph_cache_miss"])
"""


@needs_compiler
def test_another_process_finds_the_code_on_disk(kept_graph):
    done = subprocess.run(
        [sys.executable, "-c", ANOTHER_PROCESS],
        cwd=Path(__file__).parent,
        env=os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(kept_graph[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["1", "0"]
