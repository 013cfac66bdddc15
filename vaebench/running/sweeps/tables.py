"""What a sweep writes at its end: all trials, the best of each variant, and who was tuned how."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import tomli_w
from optuna.trial import FrozenTrial

from vaebench import results
from vaebench.config import RunConfig
from vaebench.results.tuning import Tuning
from vaebench.running.sweeps.finals import Final
from vaebench.running.sweeps.goals import Goals
from vaebench.running.sweeps.outcome import Cost
from vaebench.running.sweeps.rounds import Tuned
from vaebench.running.sweeps.search import best

if TYPE_CHECKING:
    import pandas as pd

TABLES = ("trials.csv", "pareto.csv", "best.toml", "tuning.json")
LAST_OF_NAME = 195
"""Letters of a study's name that its tuned one keeps, to be as long as names may be."""


def clear(out: Path) -> None:
    """Remove the tables of another search."""
    for name in TABLES:
        (out / name).unlink(missing_ok=True)


def write_trials(out: Path, tuned: Sequence[Tuned], goals: Goals) -> pd.DataFrame:
    """Write trials.csv, a line for each trial, best first in each variant; and of several targets
    pareto.csv, the trials of each variant that no other beats in all."""
    import pandas as pd

    targets = [goal.column for goal in goals.targets]
    columns = list(dict.fromkeys([*targets, *(goal.column for goal in goals.by_name.values())]))
    lines = [line for one in tuned for line in _lines(one, columns)]
    table = pd.DataFrame(lines)
    results.write_atomically(out / "trials.csv", table.to_csv(index=False).encode())
    if len(targets) > 1:
        fronts = {(one.variant.name, t.number) for one in tuned for t in best(one.search.memory)}
        on_front = [(line["variant"], line["trial"]) in fronts for line in lines]
        content = table[on_front].to_csv(index=False).encode()
        results.write_atomically(out / "pareto.csv", content)
    return table


def write_best(out: Path, study: str, finals: Sequence[Final]) -> None:
    """Write best.toml, a study of the best trial of each variant; none where all were lost."""
    configs = [config for final in finals if (config := final.best_config) is not None]
    if not configs:
        (out / "best.toml").unlink(missing_ok=True)
        return
    tables = [_settable(config) for config in configs]
    toml = tomli_w.dumps({"name": f"{study[:LAST_OF_NAME]}_tuned", "axes": {"tuned": tables}})
    results.write_atomically(out / "best.toml", toml.encode())


def write_tuning(out: Path, finals: Sequence[Final], goals: Goals) -> None:
    """Write tuning.json: of each variant its runs untuned and tuned, and what its search took."""
    results.write_tuning(out, [_tuning(final, goals) for final in finals])


def _tuning(final: Final, goals: Goals) -> Tuning:
    search = final.tuned.search
    statuses = [trial.user_attrs["status"] for trial in search.told]
    cost = final.tuned.spent
    chosen = final.chosen
    values = {} if chosen is None else zip(goals.targets, chosen.values, strict=True)
    return Tuning(
        variant=final.tuned.variant.name,
        untuned=[config.id for config in final.untuned_runs],
        tuned=[config.id for config in final.tuned_runs],
        trials=len(statuses),
        pruned=statuses.count("pruned"),
        lost=len(statuses) - statuses.count("pruned") - statuses.count("done"),
        steps=int(cost.steps),
        decoder_evaluations=int(cost.decoder_evaluations),
        chosen=None if chosen is None else chosen.number,
        values={goal.column: value for goal, value in values},
        parameters={} if chosen is None else chosen.params,
    )


def _lines(tuned: Tuned, columns: Sequence[str]) -> list[dict[str, Any]]:
    """The trials of one variant as lines, best in the first target first, pruned ones last."""
    sign = -1.0 if tuned.search.memory.directions[0].name == "MAXIMIZE" else 1.0

    def order(trial: FrozenTrial) -> tuple[bool, float, int]:
        pruned = trial.user_attrs["status"] == "pruned"
        return pruned, 0.0 if pruned else sign * trial.values[0], trial.number

    ordered = sorted(tuned.search.told, key=order)
    return [_line(tuned.variant.name, trial, columns) for trial in ordered]


def _line(variant: str, trial: FrozenTrial, columns: Sequence[str]) -> dict[str, Any]:
    """One trial: its targets, infinite where it was lost, and the metrics that are limited."""
    kept = trial.user_attrs
    values = [] if kept["status"] == "pruned" else trial.values
    known = {**kept, **dict(zip(columns, values, strict=False))}
    cost = {name: kept[name] for name in asdict(Cost()) if name in kept}
    words = {name: kept[name] for name in ("status", "reason", "training")}
    return {
        "variant": variant,
        "trial": trial.number,
        **{name: known.get(name, math.nan) for name in columns},
        **words,
        **cost,
        **trial.params,
    }


def _settable(config: RunConfig) -> dict[str, Any]:
    """A run as a table of a study, without what is filled in, and without its seed."""
    table = _without_none(msgspec.to_builtins(config))
    for filled_in in ("seed", "plugin"):
        table.pop(filled_in)
    table["data"].pop("fingerprint")
    return table


def _without_none(table: Any) -> Any:
    if not isinstance(table, dict):
        return table
    return {k: _without_none(v) for k, v in table.items() if v is not None}
