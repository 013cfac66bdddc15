"""The site: it builds without a warning, asks nothing of the network, and has what it should."""

import re
from html.parser import HTMLParser

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config

from docs.site import entries, formulas, names, reference, symbols
from tests.support import ROOT
from vaebench.core.user_code import is_users
from vaebench.objectives import OBJECTIVES

PAGES = sorted((ROOT / "docs").rglob("*.md"))
NAMES = [
    (kind, name)
    for kind in entries.KINDS
    for name, entry in kind.registry.items()
    if not is_users(getattr(entry, kind.function))
]
"""The suite's own entries: other tests register some of theirs."""


class Loaded(HTMLParser):
    """Addresses that a browser loads when it opens a page."""

    ATTRIBUTES = {"script": "src", "img": "src", "iframe": "src", "link": "href"}

    def __init__(self):
        super().__init__()
        self.addresses = []

    def handle_starttag(self, tag, attrs):
        self.addresses.append(dict(attrs).get(self.ATTRIBUTES.get(tag), ""))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built as `nox -s docs` does: a warning ends it."""
    out = tmp_path_factory.mktemp("site")
    build(load_config(str(ROOT / "mkdocs.yml"), strict=True, site_dir=str(out)))
    return out


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_it_has_a_page_for_each_entry_and_loads_nothing_from_elsewhere(site):
    for kind, name in NAMES:
        page = site / "entries" / kind.plural / f"{name}.html"
        assert "<math" in page.read_text(), page
    for page in site.rglob("*.html"):
        parser = Loaded()
        parser.feed(page.read_text())
        outside = [a for a in parser.addresses if a and a.startswith(("http:", "https:", "//"))]
        assert not outside, page


@pytest.mark.parametrize(("kind", "name"), NAMES, ids=lambda value: getattr(value, "plural", value))
def test_a_formula_is_mathml_to_the_last_command(kind, name):
    shown = formulas.display(kind.registry[name].about.formula, "", "", {}, None)
    assert "<math" in shown
    assert "\\" not in re.sub(r"<[^>]*>", "", shown)


def test_a_page_explains_the_symbols_of_its_formula_and_no_others():
    dreg = " ".join(symbols.explained("objectives", OBJECTIVES["dreg"].about.formula))
    assert "w_k =" in dreg and "Theta" in dreg
    assert r"\mathcal{D}" not in dreg and r"\mathcal{R}" not in dreg
    for kind in entries.KINDS:
        every = " ".join(entry.about.formula for entry in kind.registry.values())
        for symbol in {*symbols.SYMBOLS[kind.plural]} - {*symbols.OF_BOUNDS}:
            assert re.search(symbol.sign, every), symbol


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_numbers_of_a_page_are_those_of_the_reference_results(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    text = page.read_text()
    assert reference.with_numbers(text) == text, "run `nox -s docs`"
    assert not re.search(r"^ *<!--=", text, re.MULTILINE), "a comment that begins a line ends it"


def test_a_number_needs_one_row(monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(ValueError, match="must name one row"):
        reference.number("digits/table.csv; variant=elbo; nll_mean")
    one = "digits/table.csv; variant=elbo; likelihood=bernoulli; nll_mean:.0f"
    assert reference.number(one) == "23"


def test_a_number_may_be_of_a_row_that_has_no_value_in_a_column(monkeypatch):
    monkeypatch.chdir(ROOT)
    reference_row = "layers/table.csv; dataset=digits; layers=16; objective=elbo; besides=; gain"
    assert reference.number(reference_row) == "0.00"


def test_every_page_is_in_the_navigation():
    config = load_config(str(ROOT / "mkdocs.yml"))
    named = set(re.findall(r"[\w/-]+\.md", f"{config.nav} {entries.navigation()}"))
    assert {str(page.relative_to(ROOT / "docs")) for page in PAGES} <= named


def test_names_of_entries_lead_to_their_pages():
    text = "`elbo` and `beta`, [`iwae`](x.md)\n\n```toml\n`elbo`\n```\n"
    linked = names.linked_in(text, "kernels/cpu.md")
    assert linked == text.replace("`elbo` and", "[`elbo`](../entries/objectives/elbo.md) and")


def test_the_registry_leads_to_the_page_of_each_entry():
    text = names.indexed((ROOT / "docs" / "registry.md").read_text())
    for kind, name in NAMES:
        assert f"| [{name}](entries/{kind.plural}/{name}.md) |" in text
