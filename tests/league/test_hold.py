"""From bundles to a page: one that must be refused ends it, or is left out by name."""

import sys

import pytest

from tests.support.bundles import zipped
from vaebench.core.errors import InputError
from vaebench.league import RefusedError, Regrading, hold, submit
from vaebench.league.again import GRADED_AGAIN


@pytest.fixture
def broken(bundle, tmp_path):
    path = tmp_path / "broken.zip"
    path.write_bytes(bundle.read_bytes()[:100])
    return path


def test_the_first_broken_bundle_ends_it_and_nothing_is_written(bundle, broken, tmp_path):
    out = tmp_path / "site"
    with pytest.raises(RefusedError, match=r"broken.zip: it must be a bundle"):
        hold([bundle, broken], out)
    assert not out.exists()


def test_others_are_ranked_where_the_user_asks(bundle, broken, tmp_path):
    league = hold([broken, bundle], tmp_path / "site", skip_broken=True)
    assert [one.name for one in league.standings.submissions] == ["mine"]
    (error,) = league.refused
    assert str(error).startswith(f"{broken}: ")
    page = league.page.read_text()
    assert "<h3>Refused</h3>" in page and "broken.zip: it must be a bundle" in page
    with pytest.raises(InputError, match=r"all were refused: .*broken\.zip"):
        hold([broken], tmp_path / "site", skip_broken=True)


def test_two_submissions_of_one_name_are_refused(bundle, tmp_path):
    with pytest.raises(RefusedError, match=r"a name of its own; .* is 'mine' too"):
        hold([bundle, bundle], tmp_path / "site")


def test_the_same_bundles_give_the_same_page(trained, bundle, tmp_path):
    other = tmp_path / "other.zip"
    submit(trained, other, name="other", weights=False)
    pages = [hold([bundle, other], tmp_path / name).page.read_bytes() for name in ("a", "b")]
    assert pages[0] == pages[1]


def test_regraded_submissions_say_so(bundle, tmp_path):
    league = hold([bundle], tmp_path / "site", regrading=Regrading())
    assert f"<dd>{GRADED_AGAIN}</dd>" in league.page.read_text()


def test_a_foreign_zip_is_refused(tmp_path):
    path = zipped(tmp_path / "a.zip", {"x": b""})
    with pytest.raises(RefusedError, match=r"manifest\.json cannot be read"):
        hold([path], tmp_path / "site")


def test_without_the_extra_the_user_is_told_which(bundle, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "vaebench.league.page", None)
    with pytest.raises(InputError, match=r"install the extra, \.\[report\]"):
        hold([bundle], tmp_path / "site")
