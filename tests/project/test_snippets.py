"""Whatever the pages tell to type: commands parse, studies are accepted, code calls what there is.

What is run besides is run by the tests that are named in RUN_BY, and transcripts here. A block with
`<!-- not run: REASON -->` before it is looked at by a reader alone.
"""

import ast
import contextlib
import importlib.util
import inspect
import re
import tomllib

import click
import pytest

import vaebench as vb
from docs.site import entries
from tests.support import ROOT
from tests.support.snippets import (
    PAGES,
    blocks,
    commands,
    inline_commands,
    transcripts,
)
from tests.test_cli import call
from vaebench.cli import main
from vaebench.config.study import expand, from_table
from vaebench.objectives import OBJECTIVES

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SESSIONS = set(
    re.findall(r"^@nox\.session\ndef (\w+)", (ROOT / "noxfile.py").read_text(), re.MULTILINE)
)
RUN_BY = {
    "README.md": "project/test_readme.py",
    "docs/command-line.md": "running/listeners/test_own.py",
    "docs/evaluation.md": "conformance/test_gradings.py",
    "docs/out-and-in.md": "project/test_out_and_in.py",
    "docs/own-data.md": "project/test_own_data.py",
    "docs/own-model.md": "project/test_own_model.py",
    "docs/own-objective.md": "project/test_own_objective.py",
}
"""Pages with Python that stands alone, and the tests that run it."""
OWN_TESTS = {"own-model", "own-objective", "reproduction"}
"""Pages whose TOML is a claim, or needs the file beside it: tests of their own read it."""
ELSEWHERE = {"ray", "optuna-dashboard", "tensorboard", "trackio", "git", "cd", "jupyter"}
"""Programs of others."""
BASE = {
    "name": "fragment",
    "base": {
        "objective": "elbo",
        "likelihood": "gaussian_learned",
        "train": {"num_steps": 10, "batch_size": 8},
    },
    "axes": {"seed": [0]},
}
PAGES_OF_ENTRIES = entries.pages()
pages = pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


@pytest.fixture
def any_path(monkeypatch):
    """Paths of the pages are a reader's: they need not be here."""
    monkeypatch.setattr(click.Path, "convert", lambda self, value, param, context: value)


def parse(words):
    """Raises click.UsageError where the command line would not take these words."""
    command, context = main, click.Context(main, info_name="vaebench")
    while isinstance(command, click.Group) and words:
        name, command, words = command.resolve_command(context, words)
        if isinstance(command, click.Group):
            context = click.Context(command, parent=context, info_name=name)
    if not isinstance(command, click.Group):
        command.make_context(name, words, parent=context)


def check(words):
    """Raises where a command names what is not there."""
    match words:
        case ["vaebench", *arguments]:
            parse(["1" if word == "N" else word for word in arguments if word != "..."])
        case ["nox", "-s", *others]:
            named = others[: others.index("--")] if "--" in others else others
            assert set(named) <= SESSIONS, named
        case ["nox", "-l"]:
            pass
        case ["python", "-m", "pip", *others] | ["pip", *others]:
            check_installed(others)
        case ["python", "-m", module, *_]:
            assert importlib.util.find_spec(module), module
        case ["python", file, *_]:
            assert (ROOT / file).is_file(), file
        case [program, *_]:
            assert program in ELSEWHERE, words


def check_installed(words):
    extras = {name for word in words for name in re.findall(r"\[([\w,]+)\]", word)}
    known = PYPROJECT["project"]["optional-dependencies"]
    assert {name for extra in extras for name in extra.split(",")} <= known.keys()


@pages
@pytest.mark.usefixtures("any_path")
def test_commands_are_what_the_command_line_takes(page):
    for words in commands(page):
        check(words)


@pages
@pytest.mark.usefixtures("any_path")
def test_commands_in_sentences_are_what_the_command_line_takes(page):
    for words in inline_commands(page):
        with contextlib.suppress(click.MissingParameter):  # a sentence may leave out arguments
            check(words)


def laid_over(base, table):
    """Nested tables, those of the second over those of the first."""
    both = {**base, **table}
    shared = {key for key in base.keys() & table.keys() if isinstance(base[key], dict)}
    return {**both, **{key: laid_over(base[key], table[key]) for key in shared}}


def with_data(value, data):
    """A table whose files of data are one that is there."""
    if isinstance(value, dict):
        return {key: with_data(inside, data) for key, inside in value.items()}
    return str(data) if isinstance(value, str) and value.endswith(".npz") else value


@pages
def test_studies_and_parts_of_them_are_accepted(page, tiny_data):
    """A part of a study is laid over a whole one."""
    for block in blocks(page, "toml"):
        table = with_data(tomllib.loads(block.text), tiny_data)
        if block.not_run or page.stem in OWN_TESTS:
            continue
        study = table if "base" in table and "axes" in table else laid_over(BASE, table)
        if "budget" in table:
            study["base"] = {k: v for k, v in study["base"].items() if k != "train"}
        sized = [] if "sweep" in table else ["base.train.batch_size=8"]
        assert expand(from_table(study, sized, str(block)))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_study_of_an_objectives_page_is_accepted(name, tiny_data):
    """The pages show names with their hyperparameters at their defaults."""
    (shown,) = re.findall(
        r"```toml\n(.*?)```", PAGES_OF_ENTRIES[f"entries/objectives/{name}.md"], re.S
    )
    table = laid_over(BASE, tomllib.loads(shown))
    table["base"] |= {"data": {"name": str(tiny_data)}, "num_samples": 6}
    (config,) = expand(from_table(table, [], name))
    assert config.objective.name == name


def test_blocks_that_are_not_run_say_why():
    reasons = {
        str(b): b.not_run for page in PAGES for b in blocks(page, "toml", "python") if b.not_run
    }
    assert all(len(reason.split()) > 3 for reason in reasons.values()), reasons


PUBLIC = {name: getattr(vb, name) for name in vb.__all__}


@pages
def test_python_calls_what_there_is(page):
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block.text)):
            if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "vb":
                assert node.attr in PUBLIC, f"vb.{node.attr}"
            if (
                isinstance(node, ast.Call)
                and getattr(getattr(node.func, "value", None), "id", "") == "vb"
            ):
                signature = inspect.signature(PUBLIC[node.func.attr])
                keywords = {k.arg: None for k in node.keywords if k.arg}
                if all(k.arg for k in node.keywords):
                    signature.bind(*node.args, **keywords)


def test_python_that_stands_alone_is_run_by_a_test():
    alone = {
        str(page.relative_to(ROOT))
        for page in PAGES
        if any("import vaebench" in b.text and not b.not_run for b in blocks(page, "python"))
    }
    assert alone == RUN_BY.keys()
    for page, test in RUN_BY.items():
        assert page.rpartition("/")[2] in (ROOT / "tests" / test).read_text()


TRANSCRIPTS = [(page, *both) for page in PAGES for both in transcripts(page)]


@pytest.mark.parametrize(
    ("page", "words", "shown"),
    TRANSCRIPTS,
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_transcripts_are_what_is_printed(page, words, shown, tmp_path, tiny_data, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for block in blocks(page, "toml"):
        name = tomllib.loads(block.text).get("name")
        (tmp_path / f"{name}.toml").write_text(
            re.sub(r'"[^"]*\.npz"', f'"{tiny_data}"', block.text)
        )
    done = call(*words[1:])
    assert " ".join(done.output.split()) == " ".join(shown.split())
