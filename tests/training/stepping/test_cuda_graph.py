"""The step as a CUDA graph, without a GPU: five parts of CUDA are replaced by stand-ins.

`torch.cuda.CUDAGraph` and `torch.cuda.graph` take the eager step again at each replay and copy its
results to where the captured step left its own; the eager step notes its arguments; `key_tensor`
and `extra_steps` make tensors on the CPU.

What this can show is what the step does around a graph: each replay reads the minibatch, the
scalars, the objective's state and the noise of its own step, and a step that cannot be captured
goes on eagerly.

What it cannot show: that CUDA captures the step, that replayed kernels compute the same numbers,
that the graph's memory stays valid, or that it is faster. Only training on a GPU can.
"""

import contextlib

import pytest
import torch

from tests.support.runs import run_config, step_by_step
from vaebench.config.build import build_stack, load_data
from vaebench.training.loop import training_steps
from vaebench.training.stepping.eager import EagerStep, eager

pytest.importorskip("triton")
from vaebench.training.stepping import cuda_graph as captured

RISING = {"name": "linear", "stop": 2.0, "over": 1.0}


class Noted(EagerStep):
    """An eager step that notes how it was last called."""

    def __call__(self, x, noise, scalars):
        self.arguments = x, noise, scalars
        return super().__call__(x, noise, scalars)


@pytest.fixture
def stand_in(monkeypatch):
    """CUDA's graphs on a CPU: what a replay computes goes where the captured step left its own."""
    steps_on = torch.zeros(1, dtype=torch.int64)

    class Graph:
        def replay(self):
            step, (x, noise, scalars) = self.step, self.arguments
            taken = step.eager(x, noise.at(step=noise.step + int(steps_on)), scalars)
            step.taken.loss.copy_(taken.loss)
            for kept, parameter in zip(step.gradients, step.eager.parameters, strict=True):
                kept.copy_(parameter.grad)
            for name, value in taken.state.items():
                step.taken.state[name].copy_(value)
            step.taken.measured.kl_or_estimate.copy_(taken.measured.kl_or_estimate)
            step.taken.measured.distortion.copy_(taken.measured.distortion)

    @contextlib.contextmanager
    def capture(graph):
        yield

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", capture)
    monkeypatch.setattr(captured, "EagerStep", Noted)
    monkeypatch.setattr(captured, "key_tensor", lambda keys, device: torch.tensor(keys))
    monkeypatch.setattr(captured, "extra_steps", lambda device: steps_on)
    return steps_on


def make(model, loss):
    step = captured.CapturedStep(model, loss)
    inner = step._captured

    def with_owner(*arguments):
        graph = inner(*arguments)
        graph.step, graph.arguments = step, step.eager.arguments
        return graph

    step._captured = with_owner
    return step


def curve(configs, make_blocks):
    dataset = load_data(configs[0].data)
    model = build_stack(configs, dataset.image_shape, dataset.log_volume)
    steps = training_steps(model, configs, dataset, make_blocks)
    return torch.stack([torch.stack(_seen(step)) for step in steps])


def _seen(step):
    """Loss and curve figures of a step: [S] each."""
    rate, distortion = step.terms.kl_or_estimate, step.terms.distortion
    return [step.loss, rate.detach().mean(-1), distortion.detach().mean(-1)]


@pytest.mark.parametrize(
    "objective, more",
    [
        ("elbo", {}),
        ("elbo", {"rate_weight": RISING}),
        ({"name": "beta_elbo", "beta": RISING}, {"max_grad_norm": 0.5}),
        ("geco", {}),
        ("iwae", {}),
    ],
)
def test_every_replay_is_the_step_of_its_own_index(stand_in, objective, more):
    configs = [run_config(objective, num_steps=9, seed=seed, **more) for seed in (0, 1)]
    torch.testing.assert_close(curve(configs, step_by_step(make)), curve(configs, eager))
    assert int(stand_in) == 0, "what else draws on the device reads from its own step"


def test_what_cannot_be_captured_stays_eager(stand_in, monkeypatch):
    @contextlib.contextmanager
    def refuses(graph):
        raise RuntimeError("a copy from the CPU cannot be captured")
        yield

    monkeypatch.setattr(torch.cuda, "graph", refuses)
    configs = [run_config(num_steps=9)]
    computed = curve(configs, step_by_step(captured.CapturedStep))
    assert torch.equal(computed, curve(configs, eager))
