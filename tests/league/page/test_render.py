"""The page of a league: the ranks of the report, what they cost, and nobody's words as HTML."""

import base64
import hashlib
import re

import msgspec
import pytest

from tests.report.page.test_render import Page
from vaebench import results
from vaebench.league.manifest import manifest_of
from vaebench.league.page.render import render
from vaebench.league.page.render import tables as shown
from vaebench.league.standings import standings
from vaebench.league.submission import Submission
from vaebench.report.tables import summarise

ATTACK = "</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def records(trained):
    return list(results.records(trained))


def submission(trained, name, records, **more):
    path = trained / "runs" / f"{records[0].run}.json"
    return Submission(path, trained, manifest_of(name, records, {}, ()), records, **more)


def worse(record, by):
    """A run that no example is kept of, with a higher NLL."""
    metrics = [
        msgspec.structs.replace(m, value=m.value + by) if m.metric == "nll" else m
        for m in record.metrics
    ]
    return msgspec.structs.replace(record, run=record.run[::-1], metrics=metrics)


def tables(submissions):
    return shown(standings(submissions))


def cells(ranking, heading):
    at = next(i for i, one in enumerate(ranking.columns) if one.heading.startswith(heading))
    return {row.name: row.cells[at].text for row in ranking.rows}


def test_ranks_are_those_of_a_report(trained, records):
    (ranking,) = tables([submission(trained, "a", records)])
    table = summarise(results.frame(records), lambda run: results.examples(trained, run))
    expected = [f"a: {variant}" for variant in table["variant"]]
    assert [row.name for row in ranking.rows] == expected
    nll = cells(ranking, "NLL (nats)")
    for variant, mean in zip(table["variant"], table["nll_mean"], strict=True):
        assert nll[f"a: {variant}"].startswith(f"{mean:.2f} ± ")


def test_equal_submissions_share_a_rank_and_a_far_worse_one_does_not(trained, records):
    elbo = [record for record in records if record.labels.objective == "elbo"]
    far = [worse(record, 5.0 + 0.001 * record.labels.seed) for record in elbo]
    (ranking,) = tables(
        [submission(trained, name, runs) for name, runs in (("a", elbo), ("b", elbo), ("c", far))]
    )
    ranks = cells(ranking, "rank")
    assert ranks == {"a: elbo": "1", "b: elbo": "1", "c: elbo": "3"}
    assert cells(ranking, "NLL above")["c: elbo"].startswith("+5.00 [")


def test_another_division_has_a_table_of_its_own(trained, records):
    others = [msgspec.structs.replace(record, protocol=1) for record in records]
    both = tables([submission(trained, "a", records), submission(trained, "b", others)])
    names = [{row.name.partition(":")[0] for row in ranking.rows} for ranking in both]
    assert sorted(names, key=min) == [{"a"}, {"b"}]
    assert len({ranking.title for ranking in both}) == 2
    assert all(cells(ranking, "rank").values() for ranking in both)


def test_lost_runs_have_no_rank(trained, records):
    lost = [msgspec.structs.replace(r, status="diverged", metrics=[]) for r in records]
    (ranking,) = tables([submission(trained, "a", lost)])
    assert set(cells(ranking, "rank").values()) == {"-"}


def test_cost_and_grading_stand_beside_quality(trained, records):
    both = [
        submission(trained, "a", records, graded="graded again here"),
        submission(trained, "b", records, reason="no data"),
    ]
    (ranking,) = tables(both)
    assert set(cells(ranking, "decoder evaluations").values()) == {"0.000192"}
    graded = cells(ranking, "figures")
    assert graded["a: elbo"] == "graded again here"
    assert graded["b: elbo"] == "as submitted"
    page = Page(render(standings(both)))
    assert "as submitted: no data" in page.texts("dd")
    assert "no data" in {cell.get("title") for cell in page.attributes("td")}


@pytest.fixture(scope="module")
def page(trained, records):
    hostile = [msgspec.structs.replace(record, study=ATTACK) for record in records]
    return render(standings([submission(trained, ATTACK[:60], hostile)]), [ATTACK])


def test_words_of_strangers_are_text(page):
    read = Page(page)
    assert not read.attributes("img")
    assert ATTACK in read.texts("li") and ATTACK in read.texts("dd")
    assert f"{ATTACK}" in read.texts("h3")


def test_the_page_loads_nothing_and_runs_its_own_script_alone(page):
    read = Page(page)
    (policy,) = [one["content"] for one in read.attributes("meta") if "http-equiv" in one]
    (script,) = read.texts("script")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.startswith(f"default-src 'none'; script-src 'sha256-{digest}'; ")
    assert not re.search(r'(src|href)="(?!#)', page)


def test_links_lead_to_submissions(page):
    read = Page(page)
    places = {one["id"] for tag in ("h3", "section") for one in read.attributes(tag) if "id" in one}
    targets = {one["href"].removeprefix("#") for one in read.attributes("a")}
    assert targets <= places and "submission-0" in targets
