"""The commands of a league: a folder as a bundle, and bundles as one page."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vaebench.cli.as_json import print_json
from vaebench.cli.group import main, say
from vaebench.cli.options import PATH, json_option, plugin_option, quiet_option
from vaebench.cli.show import print_line
from vaebench.core.errors import InputError

if TYPE_CHECKING:
    from vaebench.league import League, Submission
    from vaebench.running.meter import Progress


@main.command()
@click.argument("folder", type=PATH)
@click.option("--out", type=PATH, required=True, help="The bundle that is written, one file.")
@click.option("--name", default="", help="What the league calls it. Default: the folder's name.")
@click.option(
    "--study",
    type=PATH,
    metavar="STUDY.toml",
    help="The study that was run; all of its runs must be recorded.",
)
@click.option(
    "--no-weights",
    is_flag=True,
    help="Leave the weights out: the bundle is small, and nobody can grade it again.",
)
@plugin_option
def submit(
    folder: Path,
    out: Path,
    name: str,
    study: Path | None,
    no_weights: bool,
    plugins: tuple[str, ...],
) -> None:
    """Make a bundle of a results folder, for a league.

    It holds the records of FOLDER, their weights and examples, the timing pass, the texts of
    plugins, and a hash of each. The same folder gives the same bytes.
    """
    from vaebench.league import submit as submitted

    num = submitted(folder, out, name=name, study=study, plugins=plugins, weights=not no_weights)
    print_line(f"{num} runs in {out}")


def files_by_label(
    context: click.Context, option: click.Parameter, texts: Sequence[str]
) -> dict[str, Path]:
    """The files of texts such as mine=path/to/mine.npz, by label."""
    parts = [text.partition("=") for text in texts]
    if wrong := next((label for label, _, file in parts if not (label and file)), None):
        raise click.BadParameter(f"{wrong!r} must be a label and a file, as in mine=mine.npz.")
    return {label: Path(file) for label, _, file in parts}


@main.command()
@click.argument("bundles", type=PATH, nargs=-1, required=True, metavar="BUNDLE...")
@click.option("--out", type=PATH, required=True, help="The folder that gets index.html.")
@click.option(
    "--regrade",
    is_flag=True,
    help="Grade all that have weights again, on this machine's data; refuse those whose figures "
    "do not come out.",
)
@click.option(
    "--data",
    multiple=True,
    callback=files_by_label,
    metavar="LABEL=FILE",
    help="With --regrade: where a data set lies that is a file. May be repeated.",
)
@click.option(
    "--trust-plugins",
    is_flag=True,
    help="With --regrade: run the Python files in the bundles. They can do all that you can.",
)
@click.option(
    "--skip-broken",
    is_flag=True,
    help="Leave out bundles that must be refused, and say which; else one of them ends it.",
)
@quiet_option
@json_option
def league(
    bundles: tuple[Path, ...],
    out: Path,
    regrade: bool,
    data: dict[str, Path],
    trust_plugins: bool,
    skip_broken: bool,
    progress: Progress,
    as_json: bool,
) -> None:
    """Rank many bundles on one page.

    Each BUNDLE is a file that submit made. Ranks are by the suite's own statistics; what cannot be
    compared, as on other data, has a table of its own. Nothing in a bundle is run, but plugins
    that are trusted. Exit status: 1 where --skip-broken left some out.
    """
    if (data or trust_plugins) and not regrade:
        raise InputError("--data and --trust-plugins are for --regrade")
    from vaebench.league import Regrading, hold

    how = Regrading(data, trust_plugins, progress) if regrade else None
    league_page = hold(bundles, out, regrading=how, skip_broken=skip_broken)
    submissions = league_page.standings.submissions
    _say_what_is_not_as_asked(league_page, data)
    if as_json:
        print_json(
            rankings=league_page.standings.table,
            submissions=list(map(_in_brief, submissions)),
            refused=list(map(str, league_page.refused)),
            files=[league_page.page],
        )
    else:
        num = len(submissions)
        print_line(f"{num} submission{'' if num == 1 else 's'} in {league_page.page}")
    if league_page.refused:
        sys.exit(1)


def _say_what_is_not_as_asked(league_page: League, data: Mapping[str, Path]) -> None:
    """On standard error: who was refused, whose figures were not made again, and unused files."""
    for error in league_page.refused:
        say(f"refused: {error}")
    submissions = league_page.standings.submissions
    for submission in submissions:
        if submission.reason:
            say(f"{submission.graded}: {submission.name}: {submission.reason}")
    labels = {label for submission in submissions for label in submission.manifest.data}
    for label in sorted(data.keys() - labels):
        say(f"not used: --data {label}: data must have a label of {sorted(labels)}; none has this")


def _in_brief(submission: Submission) -> dict[str, Any]:
    """A submission as a line of a table."""
    return {
        "name": submission.name,
        "file": submission.path,
        "figures": submission.graded,
        "reason": submission.reason,
        "runs": len(submission.records),
        "lost": submission.num_lost,
    }
