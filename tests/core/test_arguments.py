"""Arguments of public functions: what must hold and what was given are said."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from vaebench.core.arguments import instance, items, path, whole
from vaebench.core.errors import InputError

REFUSED = [
    (lambda: path("out", 3), "out must be a path, as 'results/runs/mine'; got 3"),
    (lambda: path("out", ""), "out must be a path, as 'results/runs/mine'; got ''"),
    (lambda: whole("num", 2.0), "num must be a whole number; got 2.0"),
    (lambda: whole("num", True), "num must be a whole number; got True"),
    (lambda: whole("num", "3", least=1), "num must be a whole number of at least 1; got '3'"),
    (lambda: whole("num", 0, least=1), "num must be a whole number of at least 1; got 0"),
    (lambda: instance("rate", "a", float, "0.5"), "rate must be a float; got 'a': write 0.5"),
    (lambda: items("files", "a", str, "['a']"), "files must be a list; got 'a': write ['a']"),
    (lambda: items("files", 3, str, "['a']"), "files must be a list; got 3: write ['a']"),
    (lambda: items("files", [3], str, "['a']"), "files must be a list such as ['a']; it holds 3"),
    (lambda: path("out", list(range(99))), f"results/runs/mine'; got {str(list(range(99)))[:80]} "),
]


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_what_must_hold_and_what_was_given_are_said(call, message):
    with pytest.raises(InputError) as caught:
        call()
    assert message in str(caught.value)


def test_what_holds_is_given_back(tmp_path):
    assert path("out", "a/b") == path("out", Path("a/b")) == Path("a/b")
    (tmp_path / "a").mkdir()
    (entry,) = os.scandir(tmp_path)  # a path to Python, as py.path is too
    assert path("out", entry) == tmp_path / "a"
    assert [whole("n", n) for n in (-2, np.int64(3), torch.tensor(4))] == [-2, 3, 4]
    assert items("files", ("a", "b"), str, "") == items("files", {"a": 1, "b": 1}.keys(), str, "")
