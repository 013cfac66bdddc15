"""What a sweep refuses before anything is trained: one line, status 2, and no folder."""

import contextlib
import socket

import pytest
from click.testing import CliRunner

from tests.running.sweeps.conftest import RANGE
from vaebench.cli import main
from vaebench.core.errors import InputError

TARGET = 'target = "nll"'
REFUSED = {
    "an unknown sampler": ("batch = 2", 'sampler = "tpee"', "unknown sampler 'tpee'; did you mean"),
    "an unknown pruner": (
        "batch = 2",
        'pruner = "medium"',
        "unknown pruner 'medium'; did you mean",
    ),
    "an unknown option": (
        "batch = 2",
        'sampler = { name = "cmaes", pop = 4 }',
        "sampler 'cmaes' has no hyperparameter 'pop'; did you mean 'popsize'?",
    ),
    "an option out of range": (
        "batch = 2",
        'sampler = { name = "tpe", startup = 0 }',
        "sampler 'tpe': startup must be finite, in [1, inf]; got 0",
    ),
    "half a generation": (
        "batch = 2",
        'batch = 3\nsampler = { name = "cmaes", popsize = 4 }',
        "needs a popsize that is a multiple of the batch, as a generation is told at once; got "
        "popsize = 4 and batch = 3",
    ),
    "CMA-ES in one dimension": (
        RANGE,
        '"train.learning_rate" = [1e-3]\n[sweep.sampler]\nname = "cmaes"',
        "needs two ranges of numbers at least; got 1",
    ),
    "an empty range": ("low = 1e-4", "low = 1e-1", "a range to search needs low < high"),
    "a missing field": (
        "train.learning_rate",
        "train.lerning_rate",
        "did you mean 'learning_rate'",
    ),
    "a target that is not graded": (
        TARGET,
        'target = "frechett"',
        "a sweep's target must be a metric that the study grades; got 'frechett'; did you mean "
        "'frechet'?",
    ),
    "a grading that the study leaves out": (
        TARGET,
        'target = "mig"',
        "a metric that the study grades; got 'mig'",
    ),
    "a target that is neither": (
        TARGET,
        'target = "active_units"',
        "'active_units' is neither: give it limits in [sweep.constraints]",
    ),
    "a pruner that cannot see the target": (
        TARGET,
        'target = "frechet"\npruner = "median"',
        "pruner 'median' judges by the validation ELBO along training, so its target must be",
    ),
    "a pruner of several targets": (
        TARGET,
        'target = ["nll", "elbo"]\npruner = "halving"',
        "pruner 'halving' takes one target; got nll, elbo",
    ),
    "too few seeds to test": (
        "batch = 2",
        'pruner = "wilcoxon"',
        "the study needs 5 seeds at least; it has 2",
    ),
    "too many trials for a Gaussian process": (
        "batch = 2",
        'sampler = "gp"\nbudget.trials = 501',
        "sampler 'gp' takes at most 500 trials",
    ),
    "no URL": ("batch = 2", 'storage = "sweep.db"', "storage must be a database's URL, as sqlite:"),
    "no such database": (
        "batch = 2",
        'storage = "sqlite:////no/such/folder/sweep.db"',
        "must be a database that Optuna can use; sqlite:////no/such/folder/sweep.db: unable to",
    ),
    "no such kind": ("batch = 2", 'storage = "foo://a/b"', "foo"),
    "an empty study": ("seed = [0, 1]", "seed = []", "the axis 'seed' has no values: give some"),
    "an axis without values": (
        "seed = [0, 1]",
        "seed = [0]\nvariant = []",
        "the axis 'variant' has no values: give some",
    ),
}


def refused(tmp_path, *options):
    out, options = tmp_path / "out", options or ("--trials", "2")
    arguments = ["sweep", tmp_path / "tuned.toml", "--out", out, "--executor", "inline", *options]
    done = CliRunner().invoke(main, [*map(str, arguments)])
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert not out.exists()
    return done.stderr


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_an_option_of_another_executor_is_refused(study, tmp_path, dry):
    study()
    said = refused(tmp_path, "--trials", "2", "--ray-address", "head:6379", *dry)
    assert "--ray-address is for --executor ray; got --executor inline" in said


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_start_is_one_line(study, tmp_path, case):
    old, new, message = REFUSED[case]
    with contextlib.suppress(InputError):  # some are refused when they are read
        study("nll", (old, new))
    options = () if "budget" not in new else ("--compile", "never")
    assert message in refused(tmp_path, *options)


def test_a_database_that_does_not_answer_is_said(study, tmp_path):
    study()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # and does not listen
        url = f"postgresql://user:secret@127.0.0.1:{free.getsockname()[1]}/trials"
        said = refused(tmp_path, "--trials", "2", "--storage", url)
    assert "must be a database that answers within 10 s" in said
    assert "secret" not in said


def test_a_port_that_is_silent_is_given_up(study, tmp_path, monkeypatch):
    """Something listens and never says a word: the driver gives up."""
    from vaebench.running.sweeps import storage

    monkeypatch.setitem(storage.CONNECT, "postgresql", {"connect_timeout": 2})
    study()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        url = f"postgresql://user@127.0.0.1:{port}/trials"
        said = refused(tmp_path, "--trials", "2", "--storage", url)
    assert "must be a database that Optuna can use" in said
    assert "timeout expired" in said


def test_an_address_where_no_ray_answers_is_one_line(study, tmp_path):
    pytest.importorskip("ray", reason="needs the extra ray")
    study()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        arguments = ["sweep", tmp_path / "tuned.toml", "--out", tmp_path / "out", "--trials", "2"]
        address = ["--executor", "ray", "--ray-address", f"127.0.0.1:{port}"]
        done = CliRunner().invoke(main, [*map(str, arguments), *address])
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"vaebench: a Ray cluster must answer at '127.0.0.1:{port}'; ")
    assert done.stderr.count("\n") == 1
