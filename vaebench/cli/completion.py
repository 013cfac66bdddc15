"""Completion of commands, options and names in a shell: what the words may be, and the script."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from vaebench.cli.group import main
from vaebench.cli.names import entry_names

NAME, VARIABLE = "vaebench", "_VAEBENCH_COMPLETE"
Words = Callable[[click.Context, click.Parameter, str], list[str]]
"""(context, parameter, the beginning of a word) -> the words that it may become."""


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a script for completion in your shell.

    It completes commands, options and names of entries and runs. SHELL is bash, zsh or fish.

    \b
    bash:  vaebench completion bash >> ~/.bashrc
    zsh:   vaebench completion zsh >> ~/.zshrc
    fish:  vaebench completion fish > ~/.config/fish/completions/vaebench.fish

    Then open a new shell. Words are completed without importing torch.
    """
    completes = get_completion_class(shell)
    assert completes is not None, "click completes all three"
    click.echo(completes(main, {}, NAME, VARIABLE).source())


def names_of(*kinds: str) -> Words:
    """Names of entries of these kinds."""
    return lambda context, parameter, begun: _beginning(
        begun, (name for kind in kinds for name in entry_names(kind))
    )


def words(*known: str) -> Words:
    """These words."""
    return lambda context, parameter, begun: _beginning(begun, known)


def runs_of(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """The ids of the runs in the results folder that the command line names."""
    named = (context.params.get("folder"), context.params.get("target"), *context.args)
    folder = next(filter(None, named), None)  # among the words where an option lacks its value
    paths = Path(folder).glob("runs/*.json") if folder else ()
    return _beginning(begun, (path.stem for path in paths))


def _beginning(begun: str, known: Iterable[str]) -> list[str]:
    return sorted(word for word in known if word.startswith(begun))
