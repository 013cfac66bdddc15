"""Public functions that are handed something else end in the project's own error."""

from pathlib import Path
from unittest.mock import sentinel

import msgspec
import numpy as np
import pytest
import torch
from torch.distributions import Normal

import vaebench as vb
from tests.support.runs import tiny
from vaebench.core.errors import InputError

X = np.zeros((4, 8, 8), np.float32)
Z = torch.zeros(5, 2)
GIVEN = {"q": Normal(Z, 1.0), "z": Z, "log_px_z": Z.sum(-1)}
MODEL = {
    "encode": lambda x: (torch.zeros(len(x), 2), torch.zeros(len(x), 2)),
    "decode": lambda z: torch.zeros(len(z), 64),
    "likelihood": "bernoulli",
    "data": {"name": "digits", "binarisation": "threshold"},
}


def run(out="never", **more):
    return vb.run([tiny()], out, executor="inline", **more)


def configured(**changes):
    return lambda: vb.run([msgspec.structs.replace(tiny(), **changes)], "never")


MISTAKES = {
    "what is run must be a list; got 3": lambda: vb.run(3, "never"),
    "must be a list such as .*; it holds {}": lambda: vb.run([{}], "never"),
    "out must be a path": lambda: run(out=3),
    "data must be a DataConfig; got 'mnist'": lambda: run(data="mnist"),
    "an? executor must be given by name; got 3": lambda: vb.run([tiny()], "never", executor=3),
    "workers must be a whole number of at least 1; got '2'": lambda: run(workers="2"),
    "cluster must be a Cluster": lambda: run(cluster="head:6379"),
    "plugins must be a list": lambda: run(plugins=3),
    r"mine.py'\): write \['mine.py'\]": lambda: run(plugins=Path("mine.py")),
    "a way to compile must be given by name": lambda: run(compiles=None),
    "timings must be a bool; got 'no'": lambda: run(timings="no"),
    "listeners must be a list such as": lambda: run(listeners=["tensorboard"]),
    "objective must be a Choice; got 'elbo': write vb.Choice": configured(objective="elbo"),
    r"train must be a TrainConfig; got \{\}": configured(train={}),
    "seed must hold numbers and words": configured(seed=sentinel.seed),
    "rate_weight must be a number": configured(rate_weight=[]),
    "a results folder must be a path, as .*; got None": lambda: vb.load(None),
    "metrics must be a list; got 'nll'": lambda: vb.load("never", "nll"),
    "a results folder must be a path, as .*; got 3": lambda: vb.load_model(3, "0" * 16),
    "a run's id is 16 hex digits; got 3": lambda: vb.examples("never", 3),
    "out must be a path, as .*; got 4": lambda: vb.export("a", "b", 4),
    "name must be letters, digits": lambda: vb.dataset(X, X, name=3),
    r"x_train must be an array \[N, ...\]; got None": lambda: vb.dataset(None),
    r"x_test must be an array \[N, ...\]; setting": lambda: vb.dataset(X, [[0.0], [0.0, 1.0]]),
    "unknown argument 'seeds'; did you mean 'seed'": lambda: vb.evaluate(**MODEL, seeds=1),
    "seed must be a whole number from 0": lambda: vb.evaluate(**MODEL, seed=True),
    "device must be a word": lambda: vb.evaluate(**MODEL, device=3),
    "settings of an evaluation must be a table": lambda: vb.evaluate(**MODEL, evaluate=["latent"]),
    "an? objective must be given by name; got 3": lambda: vb.loss(3, **GIVEN),
    "rate_weight.* must be a number; got": lambda: vb.loss("elbo", **GIVEN, rate_weight=[1]),
    "state must be a dict": lambda: vb.loss("elbo", **GIVEN, state=3),
    "reduction must be one of": lambda: vb.loss("elbo", **GIVEN, reduction=[]),
    "noise must be that of a step": lambda: vb.normals(3, 1, 2, 2),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_a_mistake_is_an_input_error_and_writes_nothing(message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        MISTAKES[message]()
    assert not list(tmp_path.iterdir())
