"""The example of docs/tuning.md works as it stands there."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from vaebench.cli import main

PAGE = Path(__file__).parents[3] / "docs" / "tuning.md"


def block(kind):
    (content,) = re.findall(rf"```{kind}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return content


@pytest.mark.slow
def test_the_example_does_what_the_page_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("fair.toml").write_text(block("toml"))
    sweep, compare = (shlex.split(line)[1:] for line in block("sh").splitlines())
    smaller = ["--set", "base.train.num_steps=60", "--set", "base.evaluate.num_samples=5"]
    done = CliRunner().invoke(main, [*sweep, *smaller, "--executor", "inline", "--no-timings"])
    assert done.exit_code == 0, done.output
    assert "does the ranking change once all are tuned?" in done.stdout
    said = CliRunner().invoke(main, compare).stdout
    assert "does the ranking change once all are tuned?" in said
    for name in ("trials.csv", "tuned.csv", "best.toml", "tuning.json", "sweep.journal"):
        assert (tmp_path / "fair" / name).exists()
        assert f"`{name}`" in PAGE.read_text()


def test_the_page_names_every_sampler_and_pruner():
    from vaebench.running.sweeps.pruners import PRUNERS
    from vaebench.running.sweeps.samplers import SAMPLERS

    text = PAGE.read_text()
    assert all(f"| `{name}` |" in text for name in (*SAMPLERS, *PRUNERS))
