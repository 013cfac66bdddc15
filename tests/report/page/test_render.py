"""The page is one file that loads nothing, and shows users' words as they are written."""

import base64
import hashlib
import json
import re
import shlex
from html.parser import HTMLParser

import msgspec
import pytest

from tests.core.test_shown import HOSTILE, storable
from tests.report.test_tables import RECORDS, record
from vaebench import results
from vaebench.core.shown import plain
from vaebench.report import write_report
from vaebench.report.page import provenance
from vaebench.report.tables import summarise

VOID = {"meta", "input", "img", "br", "link", "circle", "path", "rect", "line", "stop"}


class Page(HTMLParser):
    """The elements of a page, with their attributes and texts."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), []))
        if tag not in VOID:
            self.open.append(self.elements[-1])

    def handle_endtag(self, tag):
        if tag not in VOID:
            while self.open.pop()[0] != tag:
                pass

    def handle_data(self, data):
        for _, _, texts in self.open:
            texts.append(data)

    def texts(self, tag):
        return ["".join(texts) for name, _, texts in self.elements if name == tag]

    def attributes(self, tag):
        return [attributes for name, attributes, _ in self.elements if name == tag]


def page_of(folder, records):
    results.prepare(folder)
    for one in records:
        results.write(folder, one)
    _, paths = write_report(folder, folder / "report")
    (path,) = [path for path in paths if path.name == "report.html"]
    return path.read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("results") / "a folder; rm"


@pytest.fixture(scope="module")
def text(folder):
    return page_of(folder, RECORDS)


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_the_page_loads_nothing(page):
    loading = {"src", "href", "data", "action", "poster", "srcset", "xlink:href"}
    for _, attributes, _ in page.elements:
        for name in loading & attributes.keys():
            assert attributes[name].startswith(("#", "data:")), attributes
    assert "@import" not in "".join(page.texts("style"))
    assert "url(" not in "".join(page.texts("style"))
    assert not page.attributes("link")


def test_its_policy_allows_its_own_scripts_alone(page):
    (policy,) = (m["content"] for m in page.attributes("meta") if "http-equiv" in m)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'" and "unsafe-eval" not in policy
    plain_scripts = [
        "".join(texts)
        for tag, attributes, texts in page.elements
        if tag == "script" and "type" not in attributes
    ]
    hashes = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in plain_scripts]
    assert rules["script-src"].split() == [f"'sha256-{one}'" for one in hashes]
    assert len(hashes) == 3


def test_a_table_for_each_observation_space_has_seven_columns_at_once(page):
    headings = [texts for tag, a, texts in page.elements if tag == "th" and a.get("scope") == "col"]
    assert headings
    tables = [a["id"] for a in page.attributes("table") if a.get("id", "").startswith("ranking")]
    assert tables == ["ranking-0", "ranking-1"]
    at_once = [a for a in page.attributes("th") if a.get("scope") == "col" and "class" not in a]
    of_runs = 6 * len([a for a in page.attributes("table") if a["id"].startswith("runs-")])
    assert 2 * 3 <= len(at_once) - of_runs <= 2 * 7


def test_a_name_leads_to_its_runs_and_those_lost_say_why(page):
    ids = {a["id"] for _, a, _ in page.elements if "id" in a}
    targets = {a["href"][1:] for a in page.attributes("a")}
    assert targets <= ids
    assert "the loss was not finite at step 7" in page.texts("td")
    assert [item for item in page.texts("li") if "seed" in item and "diverged: " in item] == [
        "lost, seed 0: diverged: the loss was not finite at step 7"
    ]


def test_of_too_many_runs_each_variant_lists_some(tmp_path, monkeypatch, page):
    """25 runs of five variants, room for ten."""
    monkeypatch.setattr(provenance, "MOST_LISTED", 10)
    shown = Page(page_of(tmp_path / "a b", RECORDS))
    listed = [e for e in shown.elements if e[0] == "th" and e[1].get("scope") == "row"]
    every = [e for e in page.elements if e[0] == "th" and e[1].get("scope") == "row"]
    assert len(every) - len(listed) == 25 - 10
    (words,) = (text for text in shown.texts("p") if "There is no room" in text)
    assert "first 2 by" in words and f"vaebench runs '{tmp_path}/a b' lists all" in words
    assert any("5 runs, the first 2 of them listed" in text for text in shown.texts("summary"))
    assert not any("no room for a list" in text for text in page.texts("p"))


def test_the_points_are_there_once_and_rounded(page):
    (content,) = ("".join(t) for tag, a, t in page.elements if a.get("type") == "application/json")
    data = json.loads(content)
    curves = data["tables"]["curves"]
    assert set(curves) == {"v", "step", "mean", "low", "high"}
    assert len(curves["v"]) == 2 * 5 and len(data["variants"]["name"]) == 5
    assert all(value == float(f"{value:.5g}") for value in curves["mean"])
    specs = [json.loads(a["data-spec"]) for a in page.attributes("div") if "data-spec" in a]
    assert specs and not any("datasets" in spec for spec in specs)
    assert "$schema" not in "".join(a.get("data-spec", "") for a in page.attributes("div"))


def test_the_answer_is_that_of_the_comparison(page):
    best = [t for _, a, t in page.elements if a.get("class") == "best"]
    words = ["".join(texts) for texts in best]
    assert words[0].startswith("elbo has the best mean (NLL 100.00 ±")
    assert "not told apart from near" in words[0]
    assert words[1].startswith("elbo alone can be ranked: NLL -40.00")
    assert any("1 run diverged or failed" in item for item in page.texts("li"))


def test_hostile_names_are_shown_as_they_are_written(tmp_path):
    hostile = [storable(name) for name in HOSTILE.values()]
    records = []
    for i, name in enumerate(hostile):
        for seed in range(2):
            one = record(name, seed, 100.0 + i + 0.1 * seed, "s/mass/0", settings="a=1")
            records.append(msgspec.structs.replace(one, run=f"{2 * i + seed:016x}", study=name))
    text = page_of(tmp_path, records)
    page = Page(text)
    assert not {"b", "iframe", "object", "i"} & {tag for tag, _, _ in page.elements}
    assert all(a["src"].startswith("data:") for a in page.attributes("img"))
    assert not any(name.startswith("on") for _, a, _ in page.elements for name in a)
    shown = page.texts("button")
    for name in hostile:
        assert plain(name) in shown
    content = re.search(r'id="points">(.*?)</script>', text, re.DOTALL)[1]
    assert not set("<>&") & set(content)
    assert set(json.loads(content)["variants"]["name"]) == {plain(name) for name in hostile}


def test_the_command_can_be_given_again(page, folder):
    assert page.texts("pre") == [f"vaebench report {shlex.quote(str(folder))}"]


def test_lines_without_figures_make_a_page_too(tmp_path):
    records = [record("lost", seed, 1.0, status="diverged") for seed in range(2)]
    page = Page(page_of(tmp_path, records))
    assert any("No variant can be ranked" in words for words in page.texts("p"))
    assert summarise(results.load(tmp_path))["rank"].isna().all()
