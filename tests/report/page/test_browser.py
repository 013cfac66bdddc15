"""The page in a browser: it asks for nothing, tables sort and filter, and all can use it."""

import shutil

import msgspec
import numpy as np
import pytest

from tests.report.page.test_companions import TRIALS, gradient, timed
from tests.report.page.test_render import page_of
from tests.report.page.test_sheets import exhibit
from tests.report.test_tables import NOISE, RECORDS
from tests.support.kills import DEADLINE_S
from vaebench import results
from vaebench.report.page.charts.companions import KINDS as OTHER_KINDS
from vaebench.report.page.charts.variants import KINDS
from vaebench.results import metric

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium"),
]
EXHIBITS = [
    exhibit(np.zeros((2, 3, 4, 4, 1), np.uint8), "images", "original", "back", name="strips"),
    exhibit(np.zeros((2, 3, 4, 4, 3), np.uint8), name="sheet"),
    exhibit(np.ones((2, 3, 5), np.float32), "lines", "original", "back", name="lines"),
    exhibit(np.ones((1, 2, 5), np.float32), "columns", "mean", name="columns"),
]
HOSTILE = "</script><img src=x onerror=alert(1)>"
PHONE, DESK = 380, 1400


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    results.prepare(folder)
    for one in RECORDS:
        results.write_part(folder, "exhibits", one.run, results.pack_exhibits(EXHIBITS))
        results.write_examples(folder, one.run, {"rate_per_dimension by dimension": np.arange(4.0)})
    results.write_timings(folder, [timing(one) for one in RECORDS if one.labels.seed == 1])
    TRIALS.to_csv(folder / "trials.csv", index=False)
    TRIALS.iloc[[0, 3]].to_csv(folder / "pareto.csv", index=False)
    sides = ("encoder", "decoder")
    rows = [gradient(HOSTILE, k, float(k), side=side) for k in (1, 4) for side in sides]
    results.write_rows(folder, "gradients", rows)
    results.write_rows(folder, "kernels-cpu", timed("kl", "1x1x8x2", "cpu", 2.0, 1.0, 4.0))
    results.write_tuning(folder, [tuning("elbo", "near")])
    page_of(folder, [in_full(one) for one in RECORDS])
    return (folder / "report" / "report.html").as_uri()


def in_full(one):
    """A record with the figures of all charts."""
    if not one.metrics:
        return one
    more = [metric("elbo", -105.0), metric("khat_high", 0.1), metric("ess", 5.0)]
    layers = [results.Metric(f"rate_layer_{layer}", 1.0, "nats", None) for layer in (1, 2)]
    return msgspec.structs.replace(one, metrics=[*one.metrics, *more, *layers])


def timing(one):
    """The step time of the variant of a record."""
    return msgspec.structs.replace(
        one,
        run=f"timing-{one.run}",
        labels=msgspec.structs.replace(one.labels, seed=None),
        metrics=[metric("step_time", 1.0)],
        config={"runs": [one.run]},
        curves={},
    )


def tuning(untuned, tuned):
    """A sweep whose final runs are those of two variants of RECORDS."""
    runs = {
        name: [one.run for one in RECORDS if one.labels.variant == name][: len(NOISE)]
        for name in (untuned, tuned)
    }
    spent = {"trials": 3, "pruned": 0, "lost": 1, "steps": 9, "decoder_evaluations": 9}
    outcome = {"chosen": 2, "values": {"valid_nll": 8.0}, "parameters": {}}
    return results.Tuning(
        variant=untuned, untuned=runs[untuned], tuned=runs[tuned], **spent, **outcome
    )


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, address):
    """Opens the page, and keeps what the console says and what is asked of a network."""
    pages = []

    def opened(width=DESK, scheme="light"):
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page.set_default_timeout(1000 * DEADLINE_S)
        page.said, page.asked = [], []
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(address)
        pages.append(page)
        return page

    yield opened
    for page in pages:
        page.close()


def draw_all(page):
    """Bring every chart into the window, and wait for it."""
    for chart in page.query_selector_all(".chart"):
        chart.scroll_into_view_if_needed()
        page.wait_for_function("(chart) => chart.querySelector('canvas')", arg=chart)


@pytest.mark.parametrize(("width", "scheme"), [(PHONE, "dark"), (DESK, "light")])
def test_charts_are_drawn_without_a_word_and_all_can_use_the_page(opened, address, width, scheme):
    page = opened(width, scheme)
    draw_all(page)
    assert page.said == []
    assert [url for url in page.asked if not url.startswith("data:")] == [address]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    titles = page.locator(".charts figcaption strong").all_inner_texts()
    assert list(dict.fromkeys(titles)) == [f"{kind.title}." for kind in (*KINDS, *OTHER_KINDS)]
    violations = axe.Axe().run(page).response["violations"]
    assert [(v["id"], [n["html"][:120] for n in v["nodes"]]) for v in violations] == []


def names(page):
    rows = page.query_selector_all("#ranking-0 tbody tr:not([hidden]) .pick")
    return [row.inner_text() for row in rows]


def test_a_heading_sorts_by_keyboard_and_says_so(opened):
    page = opened()
    ranked = names(page)
    assert ranked == ["elbo", "near", "worse", "lost"]
    for direction, order in (("ascending", ["lost", "elbo"]), ("descending", ["worse", "near"])):
        button = page.locator("#ranking-0 thead th button", has_text="NLL (nats)")
        button.focus()
        page.keyboard.press("Enter")
        assert names(page)[:2] == order
        heading = page.locator(f"#ranking-0 thead th[aria-sort={direction}]")
        assert heading.count() == 1
    page.locator("#ranking-0 thead th button", has_text="rank").first.click()
    assert names(page) == ranked, "what has no rank stays at the end"


def test_a_filter_hides_and_counts(opened):
    page = opened()
    page.locator(".filter").first.fill("ELB")
    assert names(page) == ["elbo"]
    assert page.locator(".count").first.inner_text() == "1 of 4 shown"
    page.locator(".filter").first.fill("")
    assert len(names(page)) == 4


def test_a_name_is_picked_in_table_and_charts(opened):
    page = opened()
    draw_all(page)
    page.locator("#ranking-0 .pick").nth(1).click()
    pressed = page.locator("#ranking-0 .pick[aria-pressed=true]")
    assert pressed.all_inner_texts() == ["near"]
    shown = page.evaluate("[...VIEWS.values()].map((view) => view.signal('picked'))")
    assert shown and set(shown) == {"near"}


def test_columns_on_demand_and_a_link_that_opens_the_runs(opened):
    page = opened()
    hidden = page.locator("#ranking-0 th.more").first
    assert not hidden.is_visible()
    page.locator(".all").first.check()
    assert hidden.is_visible()
    page.locator("#ranking-0 tbody tr a").first.click()
    page.wait_for_function("document.querySelector('#runs-0').closest('details').open")
    assert page.locator("#runs-0").is_visible()
