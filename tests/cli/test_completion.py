"""Completion in shells: commands, options, names of entries and ids of runs; without torch."""

import subprocess
import sys

import pytest
from click.shell_completion import ShellComplete

from tests.test_cli import call
from vaebench.cli import main
from vaebench.cli.names import HOMES, entry_names
from vaebench.config.schedules import SCHEDULES
from vaebench.evaluation import GRADINGS
from vaebench.models import MODELS
from vaebench.models.likelihoods import LIKELIHOODS
from vaebench.models.posteriors import POSTERIORS
from vaebench.models.priors import PRIORS
from vaebench.objectives import OBJECTIVES
from vaebench.running.executors import EXECUTORS
from vaebench.running.listeners import LISTENERS

REGISTRIES = {
    "objectives": OBJECTIVES,
    "likelihoods": LIKELIHOODS,
    "posteriors": POSTERIORS,
    "priors": PRIORS,
    "models": MODELS,
    "schedules": SCHEDULES,
    "gradings": GRADINGS,
    "executors": EXECUTORS,
    "listeners": LISTENERS,
}


def is_of_the_package(entry):
    """Whether an entry's first function is, and not of the plugin of another test."""
    fields = getattr(entry, "__dataclass_fields__", ())
    parts = (entry, *(getattr(entry, name) for name in fields))
    function = next(part for part in parts if hasattr(part, "__qualname__"))
    return function.__module__.startswith("vaebench.")


@pytest.mark.parametrize("kind", HOMES)
def test_names_in_the_sources_are_those_that_register(kind):
    registered = [name for name, entry in REGISTRIES[kind].items() if is_of_the_package(entry)]
    assert entry_names(kind) == sorted(registered)


def completed(*words):
    *before, begun = words
    completion = ShellComplete(main, {}, "vaebench", "_VAEBENCH_COMPLETE")
    return [item.value for item in completion.get_completions(before, begun)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["do"], ["doctor"]),
        (["run", "s.toml", "--dry"], ["--dry-run"]),
        (["certify", "beta_e"], ["beta_elbo"]),
        (["list", "obj"], ["objectives"]),
        (["run", "s.toml", "--executor", "in"], ["inline"]),
        (["run", "s.toml", "--compile", ""], ["always", "auto", "never"]),
        (["sweep", "s.toml", "--listen", "t"], ["tensorboard", "trackio"]),
        (["evaluate", "out", "--grading", "ann"], ["annealed"]),
        (["new", "s"], ["study"]),
        (["report", "out", "--format", "x"], []),
    ],
)
def test_words_are_completed(words, expected):
    assert completed(*words) == expected


def test_runs_are_completed_by_the_folder_that_is_named(tmp_path):
    (tmp_path / "runs").mkdir()
    for run in ("ab12", "ab34", "cd56"):
        (tmp_path / "runs" / f"{run}.json").write_text("")
    folder = str(tmp_path)
    assert completed("runs", folder, "--show", "ab") == ["ab12", "ab34"]
    assert completed("explain", folder, "c") == ["cd56"]
    assert completed("evaluate", folder, "--run", "") == ["ab12", "ab34", "cd56"]
    assert completed("explain", str(tmp_path / "none"), "c") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_asks_for_its_words(shell):
    done = call("completion", shell)
    assert done.exit_code == 0
    assert f"_VAEBENCH_COMPLETE={shell}_complete" in done.stdout


def test_a_word_is_completed_without_heavy_imports():
    code = (
        "import sys\n"
        "from click.shell_completion import ShellComplete\n"
        "from vaebench.cli import main\n"
        "asked = ShellComplete(main, {}, 'vaebench', '_VAEBENCH_COMPLETE')\n"
        "for words in (['evaluate', 'out', '--grading'], ['report', 'out'], ['certify']):\n"
        "    asked.get_completions(words, '')\n"
        "print({'torch', 'pandas', 'numpy', 'rich', 'msgspec'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
