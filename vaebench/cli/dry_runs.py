"""Shows what a command would do, and about what it would cost."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from vaebench.cli.as_json import print_json
from vaebench.cli.group import say
from vaebench.cli.show import print_line, print_lines, print_table
from vaebench.core.errors import InputError
from vaebench.core.shown import duration, size

if TYPE_CHECKING:
    from vaebench.config.study import Refusal
    from vaebench.running.dry_run import DryRun
    from vaebench.running.sweeps.dry_run import DryRun as SweepDryRun

MOST_SHOWN = 3
"""Combinations of the axes that are named for each reason of a refusal."""


def show_dry_run(dry: DryRun, as_json: bool) -> None:
    """Print the runs, stacks, ways to take steps, costs and refusals of a study.

    Exits with status 2 where a combination is refused, as the study itself would be.
    """
    if as_json:
        _print_json(dry)
    else:
        _print_words(dry)
    if dry.refused:
        say(
            f"{len(dry.refused)} of {len(dry.refused) + len(dry.configs)} combinations are "
            f"refused, and with them the study: mend or remove them"
        )
        sys.exit(2)


def show_sweep(dry: SweepDryRun, as_json: bool) -> None:
    """Print what a sweep would try, and what that costs."""
    from vaebench.running.dry_run import ESTIMATE

    rows, seconds = [search.row for search in dry.searches], dry.core_seconds
    if as_json:
        print_json(folder=dry.folder, variants=rows, core_seconds=seconds)
        return
    print_table(f"searches, {dry.amount} each", [_search_line(row) for row in rows])
    ways = {(row["way"], row["why"]) for row in rows}
    print_lines(f"{way}: {why}" for way, why in sorted(ways))
    if seconds is None:
        print_line("time is not foretold: on a GPU, or where no step can be counted here")
    else:
        print_line(f"estimated: {duration(seconds)} of one core, where no trial ends early")
        print_line(ESTIMATE)
    print_line("nothing was written")


def _search_line(row: dict[str, Any]) -> dict[str, str]:
    """A search as people read it."""
    seconds = row["core_seconds"]
    return {
        "variant": row["variant"],
        "searched": row["searched"] or "nothing",
        "trials": str(row["trials"]),
        "runs of each": str(row["runs_of_a_trial"]),
        "final runs": str(row["final_runs"]),
        "way": row["way"],
        "one core": "" if seconds is None else duration(seconds),
    }


def _print_json(dry: DryRun) -> None:
    work = dry.work
    print_json(
        folder=dry.folder,
        runs=dry.rows,
        stacks=[stack.row for stack in dry.stacks],
        refused=dry.refused,
        num_graphs=dry.num_graphs,
        num_workers=work.chosen.num_workers if work else 0,
        num_threads=work.chosen.num_threads if work else 0,
        seconds=dry.seconds,
        core_seconds=dry.core_seconds,
        timing_seconds=dry.timing_s,
        not_foretold=dry.not_foretold,
        memory_bytes=dry.memory_bytes,
        disk_bytes=dry.disk_bytes,
    )


def _print_words(dry: DryRun) -> None:
    from vaebench.running.dry_run import in_words

    if dry.configs:
        print_table("runs", _variants(dry))
    if dry.stacks:
        print_table("stacks", [_line(stack.row) for stack in dry.stacks])
        ways = {(stack.job.stepping.way, stack.job.stepping.why) for stack in dry.stacks}
        print_lines(f"{way}: {why}" for way, why in sorted(ways))
    if dry.refused:
        print_table("refused", _refusals(dry.refused))
    print_lines(in_words(dry))
    print_line("nothing was written")


def _variants(dry: DryRun) -> list[dict[str, str]]:
    """A line for each variant, likelihood and data set: its seeds, and how many are left."""
    from vaebench.running.dry_run import TO_TRAIN

    names = ("dataset", "likelihood", "variant", "num_steps")
    groups = [tuple(str(row[name]) for name in names) for row in dry.rows]
    of = Counter(zip(groups, (row["state"] for row in dry.rows), strict=True))
    lines = []
    for group in dict.fromkeys(groups):
        states = {state: number for (other, state), number in of.items() if other == group}
        left = states.pop(TO_TRAIN, 0)
        cells = {"runs": str(left + sum(states.values())), "to train": str(left)}
        lines.append(dict(zip(("data", *names[1:-1], "steps"), group, strict=True)) | cells)
    return lines


def _line(row: dict[str, Any]) -> dict[str, str]:
    """A stack as people read it."""
    seconds, num_bytes = row["core_seconds"], row["memory_bytes"]
    return {
        "runs": str(row["runs"]),
        "variants": row["variants"],
        "way": row["way"],
        "one core": "" if seconds is None else duration(seconds),
        "memory": "" if num_bytes is None else size(num_bytes),
    }


def _refusals(refused: Sequence[Refusal]) -> list[dict[str, str]]:
    """A line for each of the first combinations of the axes that a reason keeps out; the reason
    stands beside the first of them alone."""
    by_reason: dict[str, list[str]] = {}
    for one in refused:
        by_reason.setdefault(one.reason, []).append(_combination(one.settings))
    return [
        {"combination": name, "reason": "" if position else reason}
        for reason, names in by_reason.items()
        for position, name in enumerate(_first(names))
    ]


def _combination(settings: dict[str, Any]) -> str:
    """The values of the axes, as people read them."""
    values = (f"{place}={_value(place, value)}" for place, value in settings.items())
    return ", ".join(values) or "the study"


def _value(place: str, value: object) -> str:
    """A value of an axis, an entry as tables name it: "beta_elbo(beta=2)"."""
    from vaebench.config import Choice, convert
    from vaebench.config.convert import long_form

    if not isinstance(value, dict):
        return str(value)
    with suppress(InputError):  # what is no entry is shown as it was written
        return str(convert(long_form(place, value), Choice))
    return str(value)


def _first(names: list[str]) -> list[str]:
    """The first names, and how many others there are."""
    more = len(names) - MOST_SHOWN
    return [*names[:MOST_SHOWN], *([f"and {more:,} more"] if more > 0 else [])]
