"""Compiled code on disk: other processes find it, and what was cut off is made again."""

import subprocess
import sys

import pytest
import torch

from tests.support import ROOT
from tests.support.compiling import SAME_BITS, two_runs
from tests.support.graphs import OF_COMPILING, history, needs_compiler
from vaebench.config.build import load_data
from vaebench.core import cache
from vaebench.training.kind import step_kind
from vaebench.training.stepping import ways
from vaebench.training.stepping.compiled import (
    compile_graph,
    graph_key,
    is_on_disk,
    library,
)

pytestmark = [*OF_COMPILING, pytest.mark.slow]


ANOTHER_PROCESS = """
import sys

import torch

import tests.conftest  # one thread, as here
from tests.support.graphs import history
from tests.support.compiling import always, two_runs
from vaebench.training.stepping.compiled import library


def traces_again(*arguments):
    raise AssertionError("the graph is there")


library.trace_step = traces_again
computed = history(two_runs(), always, torch.float32)
torch.save(computed.__dict__, sys.argv[1])
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
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "small"))
    monkeypatch.setenv("VAEBENCH_CACHE_MB", "0")  # its entry takes the place of the code
    kept = whole[: -cache.SEAL_BYTES]
    monkeypatch.setattr(library, "compile_trace", lambda trace, made: made.write_bytes(kept))
    assert not compile_graph(config, dataset).from_disk
