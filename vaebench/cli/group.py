"""The command group: errors of the user and signals end a command with one line and a status."""

from __future__ import annotations

import gc
import shlex
import sys
from typing import Any, NoReturn

import click

from vaebench import __version__
from vaebench.cli import streams
from vaebench.cli.signals import COMMAND, ending_by_signals
from vaebench.core.errors import InputError, near_match
from vaebench.core.shown import plain

IS_FRESH = "vaebench.is_fresh"
"""The key of a click context under which it has whether PyTorch was still to be imported."""
MAX_HALF = 600
"""Characters at either end of a message that is cut."""


class Group(click.Group):
    """Ends a command with one line: status 2 for errors of user or system, 128 + n for signal n."""

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **extra: Any) -> Any:
        command = shlex.join([*(info_name or "vaebench").split(), *args])
        context = super().make_context(info_name, args, *rest, **extra)
        context.meta[COMMAND] = command
        context.meta[IS_FRESH] = "torch" not in sys.modules
        return context

    def main(self, *args: Any, **more: Any) -> Any:
        try:
            with streams.flushed():
                return super().main(*args, **more)
        finally:
            gc.freeze()  # else half a second goes in looking for garbage in all of torch

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(context, args)
        except click.exceptions.NoArgsIsHelpError:
            raise
        except click.UsageError as error:
            _refuse(context, f"{error.format_message()} See --help.")

    def invoke(self, context: click.Context) -> Any:
        try:
            with streams.cautions(say), ending_by_signals(context):
                return super().invoke(context)
        except InputError as error:
            _refuse(context, str(error))
        except click.UsageError as error:
            sets = error.ctx is not None and "overrides" in error.ctx.params
            is_extra = "extra argument" in error.message
            hint = "--set KEY=VALUE sets a key. " if sets and is_extra else ""
            _refuse(context, f"{error.format_message()} {hint}See --help.")
        except OSError as error:
            if not (refusal := streams.refusal(error)):
                raise
            _refuse(context, refusal)

    def resolve_command(self, context: click.Context, args: list[str]) -> Any:
        if args and self.get_command(context, args[0]) is None:
            raise InputError(f"unknown command {args[0]!r}; {near_match(args[0], self.commands)}")
        return super().resolve_command(context, args)


def _refuse(context: click.Context, message: str) -> NoReturn:
    say(message)
    context.exit(2)


def say(message: str) -> None:
    """Print one line on standard error."""
    click.echo(f"vaebench: {one_line(message)}", err=True)


def one_line(message: str) -> str:
    """A message as one printable line, cut in the middle where it is long."""
    words = " ".join(message.split())
    shown = plain(words)
    if len(shown) <= 2 * MAX_HALF:
        return shown
    return f"{shown[:MAX_HALF]} [...] {shown[-MAX_HALF:]}"


WELCOME = """\
Which objective for a variational autoencoder, on your data? Begin here:
  vaebench new study mine           a commented study: data, variants, seeds
  vaebench run mine.toml --dry-run  what it would train, and about how long that takes
  vaebench run mine.toml            train, grade and time all of it; then: vaebench report FOLDER
  vaebench list                     what there is to choose from; all commands: vaebench --help
"""


@click.group(
    cls=Group,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__)
@click.pass_context
def main(context: click.Context) -> None:
    """Benchmark and ablation suite for the objectives of variational autoencoders."""
    if context.invoked_subcommand is None:
        click.echo(WELCOME, nl=False)
