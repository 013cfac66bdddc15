"""Mistakes about executors beyond this machine: one line and status 2, asserted by message."""

import shutil

import pytest
from click.testing import CliRunner

from tests.support.studies import study_text
from vaebench.cli import main

NO_SBATCH = pytest.mark.skipif(bool(shutil.which("sbatch")), reason="SLURM is here")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--slurm", "minutes"], "--slurm needs KEY=VALUE, as in minutes=120; got 'minutes'"),
        (["--slurm", "minutes=0"], "minutes must be a whole number of at least 1; got 0"),
        (
            ["--slurm", "minuts=3"],
            "Object contains unknown field 'minuts'; did you mean 'minutes'?",
        ),
        (["--slurm", "via=pbs"], "Invalid value 'pbs' - at 'via'; known: debug, local, slurm"),
        (
            ["--executor", "ray", "--ray-address", "127.0.0.1:1"],
            "a Ray cluster must answer at '127.0.0.1:1'; [Errno 111] Connection refused: start it",
        ),
        (
            ["--executor", "ray", "--ray-address", "ray://head:10001"],
            "the address of a Ray cluster is HOST:PORT of its head",
        ),
        pytest.param(
            ["--executor", "slurm"],
            "--executor slurm submits by sbatch, which must be on this machine;",
            marks=NO_SBATCH,
        ),
        (
            ["--ray-address", "head:6379"],
            "--ray-address is for --executor ray; got --executor local: leave it out, or choose",
        ),
        (
            ["--executor", "inline", "--slurm", "minutes=5"],
            "--slurm is for --executor slurm; got --executor inline: leave it out, or choose that",
        ),
        (["--dry-run", "--ray-address", "head:6379"], "--ray-address is for --executor ray; got"),
        (
            ["--dry-run", "--listen", "tensorbord:x"],
            "unknown listener 'tensorbord'; did you mean 'tensorboard'?",
        ),
        (["--executor", "slum"], "unknown executor 'slum'; did you mean 'slurm'?"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_recorded(tmp_path, tiny_npz, options, message):
    for module in ("ray", "submitit"):
        pytest.importorskip(module, reason="needs the extras ray and slurm")
    study = tmp_path / "study.toml"
    study.write_text(study_text(tiny_npz, num_steps=4))
    out = tmp_path / "out"
    done = CliRunner().invoke(main, ["run", str(study), "--out", str(out), *options])
    assert done.exit_code == 2, done.output
    *progress, last = done.stderr.splitlines()
    assert last.startswith(f"vaebench: {message}")
    assert len(progress) <= 1
    assert not list(out.rglob("*.json"))
