"""When a step is compiled, by a compiler that compiles nothing."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch

from tests.support.graphs import assert_alike, history, interpreted
from tests.support.runs import run_config
from vaebench import ops
from vaebench.training.stepping import ways
from vaebench.training.stepping.compiled import library, way
from vaebench.training.stepping.compiled.trace import trace_step
from vaebench.training.stepping.eager import eager

CONFIGS = [
    run_config({"name": "beta_elbo", "beta": beta}, seed=seed, num_steps=6)
    for seed, beta in ((0, 1.0), (1, 4.0))
]
CLOSE = {"rtol": 1e-10, "atol": 1e-12}


class Compiler:
    """What stands for PyTorch's: its graphs are taken operation by operation."""

    def __init__(self):
        self.num_compiled, self.error = 0, None

    def compile_step(self, *arguments):
        self.num_compiled += 1
        if self.error:
            raise self.error
        return SimpleNamespace(trace=trace_step(*arguments))


@pytest.fixture
def compiler(monkeypatch):
    made = Compiler()
    monkeypatch.setattr(way, "compile_step", made.compile_step)
    monkeypatch.setattr(
        way,
        "CompiledBlocks",
        lambda model, loss, descend, graph: interpreted(model, loss, descend, graph.trace),
    )
    ops.forget_paths()
    yield made
    ops.forget_paths()


@pytest.mark.parametrize("name", ["compiled", "compiled or eager"])
def test_steps_are_compiled_from_the_first_and_once_for_all_stacks_of_a_kind(compiler, name):
    take = ways.WAYS[name]()
    assert_alike(history(CONFIGS, take), history(CONFIGS, eager), **CLOSE)
    history(CONFIGS[:1], take)
    assert compiler.num_compiled == 1
    assert ops.paths()[ways.STEP] == "compiled"
    history(CONFIGS, ways.WAYS[name]())
    assert compiler.num_compiled == 2, "two ways know nothing of one another"


def test_eager_asks_no_compiler(compiler):
    computed = history(CONFIGS, ways.WAYS["eager"]())
    assert_alike(computed, history(CONFIGS, eager), rtol=0.0, atol=0.0)
    assert (compiler.num_compiled, ops.paths()[ways.STEP]) == (0, "eager")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("no compiler\nand a long story"), "no compiler"),
        (AssertionError(), "AssertionError: AssertionError"),
    ],
)
def test_a_compiler_that_fails_is_asked_once(compiler, error, reason):
    compiler.error = error
    graphs = way.Graphs()
    for _ in range(2):
        ops.forget_paths()
        computed = history(CONFIGS, partial(way.CompiledOrEager, graphs))
        assert_alike(computed, history(CONFIGS, eager), rtol=0.0, atol=0.0)
        assert ops.paths()[ways.STEP] == "eager"
        assert ops.paths()["compiling"] == f"the step cannot be compiled: {reason}"
    with pytest.raises(RuntimeError, match=f"{reason}: with --compile auto its steps are eager"):
        history(CONFIGS, partial(way.CompiledSteps, graphs))
    assert compiler.num_compiled == 1


def test_what_a_machine_lacks(tmp_path, monkeypatch):
    compiler, read_only = tmp_path / "compiler", tmp_path / "file"
    compiler.touch(mode=0o755)
    read_only.touch()
    monkeypatch.setattr(library, "_unsupported", lambda: "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CXX", f"{compiler} --option")
    assert library.problem() == ""
    monkeypatch.setenv("XDG_CACHE_HOME", str(read_only))
    assert "a cache that can be written" in library.problem()
    monkeypatch.setenv("CXX", str(tmp_path / "absent"))
    assert "a C++ compiler: there is no" in library.problem()
    monkeypatch.undo()
    monkeypatch.setattr(torch, "__version__", "2.14.0+cpu")
    assert "tested from 2.13" in library.problem()
