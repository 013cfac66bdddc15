"""From bundles to the page: open each, grade it again where that is asked for, and rank them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vaebench.core.errors import InputError
from vaebench.league.again import graded_again
from vaebench.league.opening import opened
from vaebench.league.submission import RefusedError, Submission
from vaebench.running.meter import Progress, silent

if TYPE_CHECKING:
    from vaebench.league.standings import Standings


@dataclass(frozen=True)
class Regrading:
    """How submissions are graded again."""

    data: Mapping[str, Path] = field(default_factory=dict)
    """The files of data sets that are known by no name, by their labels."""
    trust_plugins: bool = False
    progress: Progress = silent


@dataclass(frozen=True)
class League:
    """A page, what is on it, and which bundles were refused."""

    page: Path
    standings: Standings
    refused: Sequence[RefusedError]


def hold(
    bundles: Sequence[Path],
    out: Path,
    *,
    regrading: Regrading | None = None,
    skip_broken: bool = False,
) -> League:
    """Write the page of a league of bundles to a folder.

    Without `skip_broken` the first bundle that must be refused ends it, and nothing is written: a
    league lacks nobody silently. Raises RefusedError for it, InputError where all are refused and
    where what draws pages is not installed.
    """
    try:
        from vaebench.league.page import write_page
        from vaebench.league.standings import standings
    except ImportError as error:
        raise InputError(f"a league needs {error.name}: install the extra, .[report]") from error
    with tempfile.TemporaryDirectory(prefix="vaebench-league-") as name:
        submissions: list[Submission] = []
        refused: list[RefusedError] = []
        for place, path in enumerate(bundles):
            try:
                submission = _submission(path, Path(name) / str(place), regrading)
                _check_name(submission, submissions)
                submissions.append(submission)
            except RefusedError as error:
                if not skip_broken:
                    raise
                refused.append(error)
        if not submissions:
            raise InputError(f"a league must have a submission; all were refused: {refused[0]}")
        ranked = standings(submissions)
        page = write_page(ranked, out, refused)
    return League(page, ranked, refused)


def _submission(path: Path, folder: Path, regrading: Regrading | None) -> Submission:
    """The submission of a bundle, below a new folder. Raises RefusedError."""
    submission = opened(path, folder / "submitted")
    if regrading is None:
        return submission
    return graded_again(
        submission,
        folder / "again",
        data=regrading.data,
        trust_plugins=regrading.trust_plugins,
        progress=regrading.progress,
    )


def _check_name(submission: Submission, others: Sequence[Submission]) -> None:
    """Raises RefusedError where another has the name, as where a bundle is given twice."""
    for other in others:
        if other.name == submission.name:
            raise RefusedError(
                f"{submission.path}: a submission must have a name of its own; {other.path} is "
                f"{other.name!r} too: make one again by `vaebench submit --name`"
            )
