"""Help that a stranger understands: where to begin, and a sentence for each command and option."""

import ast
import re
from pathlib import Path

import click
import pytest

import vaebench
from tests.test_cli import call
from vaebench.cli import main

HOME = Path(vaebench.__file__).parent
OF_ALL = ("core", "ops", "data", "models", "objectives", "evaluation", "results")
"""Rooms that serve commands with other options, and Python."""
OF_OTHERS = {"--gpu-name", "--logdir", "--project"}
"""Options of ptxas, TensorBoard and trackio."""
OPTIONS = [
    (name, option)
    for name, command in main.commands.items()
    for option in command.params
    if isinstance(option, click.Option)
]


def test_vaebench_alone_says_in_five_lines_where_to_begin():
    done = call()
    assert done.exit_code == 0
    assert len(done.stdout.splitlines()) == 5
    assert all(len(line) <= 100 for line in done.stdout.splitlines())
    named = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("  vaebench")}
    assert named == {"new", "run", "list"}


@pytest.mark.parametrize("name", main.commands)
def test_a_command_says_what_it_does_in_a_line_and_each_argument_is_explained(name):
    command = main.commands[name]
    brief, *rest = command.help.strip().split("\n\n")
    lines = call("--help").stdout.splitlines()
    (listed,) = (line for line in lines if line.startswith(f"  {name} "))
    assert listed.split(None, 1)[1] == brief, "it is cut in the list of commands"
    for argument in (p for p in command.params if isinstance(p, click.Argument)):
        metavar = argument.metavar or argument.name.upper()
        word = re.match(r"\w+(=\w+)?", metavar.strip("["))[0]
        assert word in " ".join(rest), "an argument is not explained"


@pytest.mark.parametrize(("name", "option"), OPTIONS, ids=lambda value: getattr(value, "name", ""))
def test_an_option_has_a_sentence(name, option):
    assert option.help and option.help.endswith("."), f"{name} {option.opts}"
    assert option.help[0].isupper() or option.help.startswith("full:")
    assert len(option.help.split()) >= 5, f"{name} {option.opts}: {option.help}"


def messages(path):
    """The texts of a module that are no docstrings, what is filled in left open."""
    tree = ast.parse(path.read_text())
    parts = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts |= set(node.values)
            yield "".join(getattr(part, "value", "X") for part in map(text_of, node.values))
        elif isinstance(node, ast.Expr):
            parts.add(node.value)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in parts:
            yield node.value


def text_of(part):
    return part if isinstance(part, ast.Constant) else ast.Constant("X")


def options_of(command):
    return {name for p in main.commands[command].params for name in (*p.opts, *p.secondary_opts)}


def test_messages_name_options_that_there_are():
    """With the command before it, an option is that command's; without, some command has it, and
    none is named so by what every command and Python may come to."""
    every = {"--help", "--version", *OF_OTHERS}.union(*map(options_of, main.commands))
    for path in HOME.rglob("*.py"):
        room = path.relative_to(HOME).parts[0]
        for message in messages(path):
            for option in re.finditer(r"(?<![\w,-])--[a-z][a-z-]+", message):
                before = message[: option.start()].rpartition("vaebench ")[2]
                command = before.partition(" ")[0]
                if command in main.commands and "`" not in before:
                    assert option[0] in options_of(command), (path, message)
                else:
                    assert option[0] in every, (path, message)
                    assert room not in OF_ALL or option[0] in OF_OTHERS, (path, message)
