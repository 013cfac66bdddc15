"""Functions that no file holds: they train, and whatever changes their values changes their id."""

import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import vaebench
from vaebench.core.errors import InputError
from vaebench.core.hyper import source_fingerprint
from vaebench.objectives import OBJECTIVES, objective


def defined(text, filename="<stdin>", **names):
    """What a prompt has as `own` after the text."""
    scope = {"__name__": "__main__", "torch": torch, "functools": functools, **names}
    exec(compile(text, filename, "exec"), scope)
    return scope["own"]


PLAIN = "def own(t): return t.distortion + SCALE * t.rate\nSCALE = 1.0"
KINDS = {
    "code": (PLAIN, "+ SCALE", "- SCALE"),
    "a value of the module": (PLAIN, "= 1.0", "= 2.0"),
    "an attribute": (PLAIN, "t.rate", "t.mu"),
    "a constant": ("def own(t): return 2.0 * t.rate", "2.0", "3.0"),
    "a default": ("def own(t, *, beta=1.0): return beta * t.rate", "1.0", "2.0"),
    "a lambda": ("own = lambda t: t.rate + 1", "+ 1", "+ 2"),
    "a function that it calls": (
        "def own(t): return helper(t)\ndef helper(t): return inner(t)\ndef inner(t): return t + 1",
        "+ 1",
        "+ 2",
    ),
    "a function within it": (
        "def own(t):\n  def inner(): return 1.0\n  return inner() * t.rate",
        "1.0",
        "2.0",
    ),
    "a comprehension's name": (
        "W = [1.0]\ndef own(t): return [w * t for w in W]",
        "[1.0]",
        "[2.0]",
    ),
    "a closure": (
        "def make(weight):\n  def own(t): return weight * t.rate\n  return own\nown = make(1.0)",
        "make(1.0)",
        "make(2.0)",
    ),
    "a partial": (
        "def inner(t, *, beta): return beta * t\nown = functools.partial(inner, beta=1.0)",
        "beta=1.0",
        "beta=2.0",
    ),
    "what it wraps": (
        "def twice(f):\n  @functools.wraps(f)\n  def g(t): return 2 * f(t)\n  return g\n"
        "@twice\ndef own(t): return t + 1",
        "+ 1",
        "+ 2",
    ),
    "what a library wraps": ("@torch.no_grad()\ndef own(t): return t + 1", "+ 1", "+ 2"),
    "what is cached": ("@functools.lru_cache\ndef own(t): return t + 1", "+ 1", "+ 2"),
    "a callable's code": (
        "class C:\n  def __init__(self): self.w = 1.0\n  def __call__(self, t): return self.w * t\n"
        "own = C()",
        "self.w * t",
        "self.w + t",
    ),
    "a callable's state": (
        "class C:\n  def __init__(self): self.w = 1.0\n  def __call__(self, t): return self.w * t\n"
        "own = C()",
        "1.0",
        "2.0",
    ),
    "a base class": (
        "class B:\n  w = 1.0\nclass C(B):\n  def __call__(self, t): return self.w * t\nown = C()",
        "1.0",
        "2.0",
    ),
    "a bound method": (
        "class C:\n  def f(self, t): return t + 1\nown = C().f",
        "+ 1",
        "+ 2",
    ),
    "a tensor": (
        "W = torch.tensor([1.0, 2.0], dtype=torch.bfloat16)\ndef own(t): return W * t",
        "2.0",
        "3.0",
    ),
    "a network": (
        "net = torch.nn.Linear(1, 1)\ntorch.nn.init.constant_(net.weight, 1.0)\n"
        "torch.nn.init.zeros_(net.bias)\ndef own(t): return net(t)",
        "1.0",
        "2.0",
    ),
    "a set": ("S = {'a', 'b', 1}\ndef own(t): return t if 'a' in S else 0", "'b'", "'c'"),
    "a recursion": ("def own(t, n=1): return t if n == 0 else own(t, n - 1)", "n=1", "n=2"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_edit_gives_another_fingerprint_and_a_repetition_the_same(kind):
    text, old, new = KINDS[kind]
    assert text.count(old) >= 1
    before = source_fingerprint(defined(text))
    assert len(before) == 12
    assert source_fingerprint(defined(text)) == before
    assert source_fingerprint(defined(f"# a comment\n\n{text}", "<ipython-input-7>")) == before
    assert source_fingerprint(defined(text.replace(old, new))) != before


def test_what_it_does_not_read_changes_nothing():
    """A name of the module that is an attribute in the function is not the module's."""
    function = "def own(t): return t.rate\n"
    assert source_fingerprint(defined(f"{function}rate = 1")) == source_fingerprint(
        defined(f"{function}rate = 2")
    )


def test_one_that_wraps_one_of_ours_is_not_ours():
    text = "@functools.wraps(elbo)\ndef own(t): return 2 * elbo(t)"
    elbo = OBJECTIVES["elbo"].loss
    assert source_fingerprint(elbo) == ""
    assert source_fingerprint(defined(text, elbo=elbo)) != ""


def test_the_module_may_have_no_name():
    function = defined("def own(t): return t.rate", __name__=None)
    assert function.__module__ is None
    assert len(source_fingerprint(function)) == 12


def test_a_fingerprint_is_the_same_in_every_process():
    text = (
        KINDS["a set"][0]
        + "\nfrom vaebench.core.hyper import source_fingerprint as f\nprint(f(own))"
    )
    path = str(Path(vaebench.__file__).parents[1])
    prints = {
        subprocess.run(
            [sys.executable, "-"],
            input=text,
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in "12"
    }
    assert len(prints) == 1


OWN = """
import vaebench as vb
from vaebench.config import parse

@vb.objective(source="mine", bound="none")
def own(t: vb.Terms):
    "Distortion plus rate."
    return t.distortion + t.rate

config = parse({{
    "objective": "own", "likelihood": "bernoulli",
    "data": {{"name": {data!r}, "binarisation": "static"}},
    "model": {{"latent_dim": 2, "widths": [8]}},
    "train": {{"num_steps": 4, "batch_size": 16}},
    "evaluate": {{"num_samples": 3, "num_images": 20}},
}})
rows = vb.run([config], out={out!r}, executor="inline", timings=False)
print(set(rows["status"]))
"""


def test_an_objective_of_a_prompt_trains(tmp_path, tiny_npz):
    """The file is read as `python - < own.py` reads it."""
    done = subprocess.run(
        [sys.executable, "-"],
        input=OWN.format(data=str(tiny_npz), out=str(tmp_path / "out")),
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(vaebench.__file__).parents[1])},
    )
    assert done.stdout == "{'done'}\n", done.stderr


@pytest.mark.parametrize(
    "nameless", [functools.partial(torch.add, alpha=1), lambda t: t.rate], ids=["partial", "lambda"]
)
def test_what_has_no_name_is_refused_in_one_line(nameless):
    with pytest.raises(InputError, match=r"needs a name, which .* has not: write it with def"):
        objective(source="this test", bound="none")(nameless)


def test_a_partial_with_a_name_is_registered():
    partial = functools.partial(defined("def own(t, *, beta): return beta * t.rate"), beta=2.0)
    partial.__name__ = "own_partial"
    try:
        objective(source="this test", bound="none")(partial)
        assert list(OBJECTIVES["own_partial"].hyper) == ["beta"]
    finally:
        OBJECTIVES._entries.pop("own_partial", None)
