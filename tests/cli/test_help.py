"""Help that a stranger understands: where to begin, and a sentence for each command and option."""

import re

import click
import pytest

from tests.test_cli import call
from vaebench.cli import main

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
