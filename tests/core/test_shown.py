"""Names from users' files: no terminal, page or figure obeys what is in them."""

import warnings

import msgspec
import pytest
from click.testing import CliRunner
from markdown_it import MarkdownIt
from matplotlib import rcParams

from tests.report.test_tables import record
from vaebench import results
from vaebench.cli import main
from vaebench.cli.progress import progress_bar
from vaebench.cli.show import print_table
from vaebench.config.schedules import SCHEDULES
from vaebench.core.registry import Registry
from vaebench.core.shown import duration, plain, size
from vaebench.core.shown import markdown as as_markdown
from vaebench.diagnostics import catalogue
from vaebench.objectives import OBJECTIVES
from vaebench.report import lettering
from vaebench.report.lettering import LONGEST, lettered
from vaebench.report.tables import made_with, markdown, summarise

HOSTILE = {
    "html": "<img src=x onerror=alert(1)><b>bold</b>",
    "column": "a|b",
    "link": "[here](https://example.org) ![i](x.png)",
    "code": "`code",
    "emphasis": "*a* _b_ __c__ ~~d~~",
    "entity": "&lt;i&gt;",
    "escaped already": r"\<b> \| \*",
    "lines": "one\ntwo\r\n\n# three",
    "markup": "[red]x[/red] [link=https://example.org]y[/link] [/nothing]",
    "terminal": "\x1b[31mred\x1b]0;title\x07\x9b2J\b\t",
    "direction": "abc\u202ecba\u2066\u200b",
    "separators": "a\u2028b\u2029c\x85d",
    "formula": "$x$ $",
    "byte of a file name": "a\udcffb",
}
names = pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)


def rendered(text):
    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(text)


def of_page(name):
    """What a reader is to see of it."""
    html = plain(name)
    for character, code in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        html = html.replace(character, code)
    return html


@names
def test_plain_is_one_line_that_can_be_printed(name):
    assert plain(name).isprintable()
    assert plain(name).encode()
    assert plain("beta_elbo(beta=2) 変分 é ±") == "beta_elbo(beta=2) 変分 é ±"


@names
def test_a_cell_of_a_page_shows_the_name_as_it_is_written(name):
    html = rendered(f"| a | b |\n| --- | --- |\n| {as_markdown(name)} | last |")
    assert f"<td>{of_page(name).strip()}</td>\n<td>last</td>" in html


def test_usual_names_are_left_as_they_are():
    for name in ("beta_elbo(beta=0.5) K=5", "digits/none/density/K=500/24ee", "x & y", "[0, 1]"):
        assert as_markdown(name) == name


def storable(name):
    """JSON has no half of a surrogate pair."""
    return name.replace("\udcff", "?")


def write(folder, variants, **more):
    """Two runs of each."""
    results.prepare(folder)
    for variant, name in enumerate(variants):
        for seed in range(2):
            one = record(storable(name), seed, 100.0 + variant + 0.1 * seed, **more)
            run = f"{2 * variant + seed:016x}"
            results.write(folder, msgspec.structs.replace(one, run=run))


@pytest.fixture
def rows(tmp_path):
    """A folder in whose records every name is hostile."""

    def written(name):
        write(tmp_path, [name], space=f"{storable(name)}/none/mass/0")
        loaded = results.load(tmp_path)
        return loaded.assign(
            likelihood=name, trust=name, environment=name, settings=f"model.name={name}"
        )

    return written


@names
def test_the_report_in_markdown(rows, name):
    name = storable(name)
    loaded = rows(name)
    html = rendered(markdown(summarise(loaded)) + made_with(loaded))
    assert html.count("<table>") == 1
    assert f"<h3>{of_page(name)}/none/mass/0</h3>" in html
    assert f">{of_page(name).strip()}</td>" in html
    assert f"Made with {of_page(name)}." in html
    for tag in ("<img", "<b>", "<a ", "<em>", "<strong>", "<s>", "<code>", "<h1>", "<i>"):
        assert tag not in html


@names
def test_the_catalogue_in_markdown(name):
    lines = [{"name": name, "what": "last"}]
    html = rendered(catalogue.markdown({"objectives": lines}))
    assert f"<td>{of_page(name).strip()}</td>\n<td>last</td>" in html


@names
def test_tables_and_progress_of_a_terminal(monkeypatch, capfd, name):
    monkeypatch.setenv("COLUMNS", "200")
    print_table(name, [{name: name}])
    with progress_bar(name, 1) as meter:
        meter.on_steps(1)
    out, err = capfd.readouterr()
    assert out.count(plain(name).strip()) == 3
    assert plain(name)[:40] in err
    assert "\x1b[31m" not in out + err
    assert not {"\x07", "\x9b", "\u202e", "\u2028", "\udcff"} & {*out, *err}


STEERING = {"\x1b", "\x07", "\x9b", "\u202e", "\u2028"}


@names
def test_a_refusal_is_one_line(name):
    done = CliRunner().invoke(main, ["report", f"/nowhere/{storable(name)}"])
    assert done.exit_code == 2
    assert len(done.output.splitlines()) == 1
    assert not STEERING & {*done.output}


def test_an_entrys_name_is_listed_as_it_is_written(monkeypatch):
    one = Registry("objective")
    one.add("x", OBJECTIVES["elbo"])
    monkeypatch.setattr(catalogue, "SCHEDULES", {"[red]\x1b[1m<b>": SCHEDULES["linear"]})
    table = CliRunner().invoke(main, ["list", "schedules"], env={"COLUMNS": "200"}).output
    page = CliRunner().invoke(main, ["list", "schedules", "--markdown"]).output
    assert r"[red]\x1b[1m<b>" in table
    assert r"| [red]\\x1b[1m&lt;b> |" in page


# ------------------------------------------------------------------ figures


@pytest.fixture
def fonts():
    before = rcParams["font.family"]
    yield
    rcParams["font.family"] = before


def test_figures_write_every_name_and_all_differently(fonts):
    hidden, long = "_hidden", "x" * 5000
    words = lettered([hidden, long, f"{long}y", f"{long[:2000]}z{long}", "a\nb", "ab"])
    assert words[hidden] == " _hidden"
    assert len({*words.values()}) == 6
    assert max(map(len, words.values())) <= LONGEST + len(" (2)")
    assert words["a\nb"] == r"a\nb"


def test_characters_that_no_font_has_are_written_as_numbers_and_said_once(fonts, caplog):
    private = "\U0010fff0変" if not _has_font("変") else "\U0010fff0"
    lettering._say_once.cache_clear()
    for _ in range(2):
        assert lettered([private])[private] == private.encode("unicode_escape").decode()
    (said,) = caplog.messages
    assert said.startswith("no installed font has ")


def _has_font(character):
    return bool(lettering._fonts_with(frozenset(character)))


def test_a_font_that_has_the_characters_is_taken(fonts):
    """matplotlib comes with STIX, which has the circled letters that its usual font lacks."""
    assert "Ⓐ" not in lettering._characters(lettering._usual())
    assert lettered(["Ⓐ"])["Ⓐ"] == "Ⓐ"
    assert rcParams["font.family"][0] == lettering._families()[0]
    assert len(rcParams["font.family"]) > len(lettering._families())
    lettered(["plain"])
    assert rcParams["font.family"] == list(lettering._families())


def test_a_report_of_hostile_names_has_its_figures_and_no_warning(tmp_path, fonts):
    write(tmp_path, ["変分推論", "Ⓐ", *HOSTILE.values()])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        done = CliRunner().invoke(main, ["report", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert {"comparison.png", "rate_distortion.png"} <= {p.name for p in tmp_path.glob("*/*.png")}
    words = CliRunner().invoke(main, ["compare", str(tmp_path)]).output
    assert not STEERING & {*done.output, *words}
    assert plain(HOSTILE["terminal"]) in words


@pytest.mark.parametrize(
    "seconds, words",
    [
        (0.4, "0.4 s"),
        (89.0, "89 s"),
        (120.0, "2 min"),
        (7200.0, "2 h"),
        (864000.0, "10 days"),
        (1.5e7, "174 days"),
    ],
)
def test_durations_are_in_the_unit_that_people_would_say(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize(
    "num_bytes, words",
    [
        (0, "0 KiB"),
        (1536, "1.5 KiB"),
        (5 << 20, "5 MiB"),
        (1010 << 20, "0.986 GiB"),
        (3 << 40, "3 TiB"),
    ],
)
def test_sizes_are_too(num_bytes, words):
    assert size(num_bytes) == words
