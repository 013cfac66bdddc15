"""Puts the parts of the page together."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from vaebench import results
from vaebench.report.evidence import Evidence, where_kept
from vaebench.report.page.answer import answers
from vaebench.report.page.charts import CONFIG, charts, other_charts
from vaebench.report.page.companions import companions, refusals
from vaebench.report.page.html import environment, policy, template
from vaebench.report.page.pictures import AT_ONCE, album
from vaebench.report.page.points import OTHERS, PLACE, Points, points, variants
from vaebench.report.page.provenance import environments, lost, members, most_listed, settings
from vaebench.report.page.rankings import rankings
from vaebench.report.standings import KEYS

if TYPE_CHECKING:
    import pandas as pd

MOST_REFUSED = 30
"""Refused combinations that are named."""
ESCAPED = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
"""Characters of JSON that could end a script, as JSON may write them too."""
ENDING = re.compile(f"[{''.join(ESCAPED)}]")


def render(evidence: Evidence) -> str:
    """The page as HTML. It needs no other file, and its policy lets it load none."""
    lines = variants(evidence.table)
    by_name, by_keys = (_places(lines, columns) for columns in (["space", "name"], KEYS))
    trials = results.trials(evidence.folder)
    gradients = results.rows_beside(evidence.folder, results.GRADIENTS)
    others = companions(evidence, trials, gradients)
    shown = points(evidence.table, evidence.rows, evidence.curves, evidence.examples, others)
    of_variant = members(evidence.runs, evidence.rows, by_keys)
    ours = {"tables": template("tables.js"), "script": template("page.js")}
    scripts = {"bundle": evidence.scripts(), **ours, "data": _data(shown)}
    return (
        environment()
        .get_template("page.html")
        .render(
            policy=policy([scripts["bundle"], *ours.values()]),
            style=Markup(template("page.css")),
            scripts={name: Markup(text) for name, text in scripts.items()},
            title=", ".join(evidence.runs["study"].unique()),
            runs=evidence.runs["status"].astype(str),
            variants=lines,
            answers=answers(evidence.table, evidence.pairs, _seconds(lines, evidence.runs)),
            rankings=rankings(evidence.table, evidence.beside, evidence.reference, by_name),
            charts=charts(shown),
            other_charts=other_charts(shown),
            colours=shown.colours,
            others=OTHERS,
            album=album(
                of_variant,
                dict(lines.sort_values("place")[[PLACE, "space"]].itertuples(index=False)),
                where_kept(evidence.folder, "samples", results.samples, None),
                where_kept(evidence.folder, "exhibits", results.exhibits, ()),
            ),
            at_once=AT_ONCE,
            most_refused=MOST_REFUSED,
            complaints=evidence.complaints,
            settings=settings(
                {space: run.config for space, run in evidence.firsts.items()}, evidence.titles
            ),
            members=of_variant,
            most_listed=most_listed(of_variant),
            listing=f"vaebench runs {shlex.quote(str(evidence.folder))}",
            refused=[
                *lost(of_variant, lines["name"].to_dict()),
                *refusals(trials, gradients),
            ],
            environments=environments(evidence.runs),
            command=evidence.command,
            titles=evidence.titles,
        )
    )


def _data(shown: Points) -> str:
    """The points of the charts as JSON: a list for each column."""
    tables = {**shown.tables, **shown.others}
    parts = {
        "config": json.dumps(CONFIG),
        "variants": _columns(shown.variants),
        "tables": _object({name: _columns(table) for name, table in tables.items()}),
    }
    text = _object(parts)
    return ENDING.sub(lambda character: ESCAPED[character[0]], text)


def _columns(table: pd.DataFrame) -> str:
    """The columns of a table as JSON: null for NaN."""
    return _object(
        {str(name): str(column.to_json(orient="records")) for name, column in table.items()}
    )


def _object(parts: Mapping[str, str]) -> str:
    """JSON of named parts that are JSON."""
    return f"{{{','.join(f'{json.dumps(name)}:{part}' for name, part in parts.items())}}}"


def _seconds(lines: pd.DataFrame, runs: pd.DataFrame) -> dict[tuple[str, str], float]:
    """The training time of a run of each variant that was timed, by observation space and name."""
    if "step_time_mean" not in lines or "steps" not in runs:
        return {}
    steps = runs.groupby(KEYS)["steps"].mean().rename("mean_steps").reset_index()
    timed = lines.merge(steps, on=KEYS).dropna(subset=["step_time_mean", "mean_steps"])
    spent = timed["step_time_mean"] / 1e3 * timed["mean_steps"].astype(float)
    return dict(zip(zip(timed["space"], timed["name"], strict=True), spent.tolist(), strict=True))


def _places(lines: pd.DataFrame, columns: Sequence[str]) -> dict[tuple[str, ...], int]:
    """The places of the variants on the page, by the values of columns."""
    keys = zip(*(lines[name] for name in columns), strict=True)
    return dict(zip(keys, lines[PLACE].tolist(), strict=True))
