"""The ways by name: what choosing one imports, and that every option of training is in all."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import vaebench.training.stepping
from tests.support.graphs import OF_COMPILING, assert_alike, history, needs_compiler
from tests.support.runs import run_config
from vaebench.config import TrainConfig
from vaebench.training.stepping.eager import eager
from vaebench.training.stepping.ways import WAYS, always, taken

pytestmark = OF_COMPILING
NUM_STEPS = 8
FELT = {
    "batch_size": (8, 8),
    "accumulate": (3, 3),
    "learning_rate": (1e-2, {"name": "cosine", "start": 1e-2, "warm_up": 0.2}),
    "beta1": (0.5, 0.99),
    "beta2": (0.5, 0.99),
    "epsilon": (1e-4, 1e-2),
    "second_moment": (1.0, 1e-4),
    "max_grad_norm": (0.5, 2.0),
    "weight_decay": (0.5, 0.1),
    "precision": ("bfloat16", "bfloat16"),
}
"""Each option that a step feels, with values for two runs; one value where it is of the stack."""
NOT_FELT = {"num_steps", "patience", "keep", "ema"}
"""What ends or judges a run, and changes no step."""
CLOSE = {"rtol": 2e-4, "atol": 2e-4}
CLOSE_IN_BFLOAT16 = {"rtol": 3e-2, "atol": 3e-2}
IMPORTS = """
import sys
import vaebench.training.loop, vaebench.training.stepping.eager, vaebench.training.stepping.ways
print(*(name for name in sys.modules if name.startswith("vaebench.training.stepping.")))
"""


def test_a_way_is_imported_when_it_is_chosen():
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    modules = {name.split(".")[3] for name in done.stdout.split()}
    assert modules == {"accumulated", "eager", "ways"}
    code = f"{IMPORTS}\nvaebench.training.stepping.ways.WAYS['compiled']()\n"
    code += "assert 'vaebench.training.stepping.compiled' in sys.modules"
    assert not subprocess.run([sys.executable, "-c", code], capture_output=True).returncode


def test_names_of_the_ways():
    assert list(WAYS) == ["eager", "compiled", "compiled or eager"]


@pytest.mark.parametrize(
    "note, word",
    [
        ("eager", "eager"),
        ("eager: compiling takes 15 s and may save 4 s", "eager"),
        ("compiled in 9.3 s, eager: compiled it took 1.20 of the eager step's time", "eager"),
        ("compiled, found on disk in 0.2 s", "compiled"),
        ("compiled: 0.55 of the eager step's time, compiled in 9.3 s", "compiled"),
        ("one CUDA graph", "CUDA graph"),
        ("eager: no CUDA graph: an operation waits for the device", "eager"),
    ],
)
def test_how_steps_were_taken_in_one_word(note, word):
    assert taken(note) == word


def test_every_option_of_training_is_tested_and_in_the_table():
    """A new option must be added to FELT or NOT_FELT, and to README.md."""
    options = set(TrainConfig.__struct_fields__)
    assert options == FELT.keys() | NOT_FELT
    text = (Path(vaebench.training.stepping.__file__).parent / "README.md").read_text()
    _, table = text.split("| option of `train` |")
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == options


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("option", FELT)
def test_an_option_does_the_same_in_python_and_in_c(option):
    plain, configs = (
        [
            run_config("elbo", seed=seed, num_steps=NUM_STEPS, **settings)
            for seed, settings in enumerate(options)
        ]
        for options in ([{}, {}], [{option: value} for value in FELT[option]])
    )
    in_python = history(configs, eager, torch.float32, at_once=3)
    in_c = history(configs, always(), torch.float32, at_once=3)
    close = CLOSE_IN_BFLOAT16 if option == "precision" else CLOSE
    assert_alike(in_python, in_c, **close)
    without = history(plain, eager, torch.float32, at_once=3)
    for run in range(len(configs)):
        assert not torch.equal(in_python.losses[:, run], without.losses[:, run]), "it is felt"
