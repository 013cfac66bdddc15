"""The commands of a league, as a user meets them."""

from tests.league.conftest import bundle, trained  # noqa: F401
from tests.test_cli import call


def test_submit_and_league(trained, tmp_path):  # noqa: F811
    made, out = tmp_path / "a.zip", tmp_path / "site"
    assert call("submit", trained, "--out", made).stdout == f"4 runs in {made}\n"
    done = call("league", made, "--out", out, "--regrade", "--quiet")
    assert (done.exit_code, done.stdout) == (0, f"1 submission in {out / 'index.html'}\n")


def test_a_broken_bundle_is_one_line_and_a_status(bundle, tmp_path):  # noqa: F811
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"PK")
    refused = call("league", bundle, broken, "--out", tmp_path / "site")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr.startswith(f"vaebench: {broken}: it must be a bundle")
    assert refused.stderr.count("\n") == 1
    skipped = call("league", bundle, broken, "--out", tmp_path / "site", "--skip-broken")
    assert skipped.exit_code == 1
    assert f"refused: {broken}: " in skipped.stderr
    assert "1 submission in" in skipped.stdout


def test_options_that_do_nothing_alone_are_refused(bundle, tmp_path):  # noqa: F811
    for option in (["--data", "a=b"], ["--trust-plugins"]):
        done = call("league", bundle, "--out", tmp_path / "site", *option)
        assert (done.exit_code, "are for --regrade" in done.stderr) == (2, True)
    wrong = call("league", bundle, "--out", tmp_path / "site", "--regrade", "--data", "a")
    assert (wrong.exit_code, "must be a label and a file" in wrong.stderr) == (2, True)


def test_figures_that_were_not_made_again_are_said(bundle, tmp_path):  # noqa: F811
    """With the reason, and of files that no submission asks for, whose label may be mistyped."""
    options = ["--out", tmp_path / "site", "--quiet", "--regrade"]
    files = [f"--data={label}={tmp_path / 'absent.npz'}" for label in ("digits", "digitz")]
    done = call("league", bundle, *options, *files)
    submitted, unused = done.stderr.splitlines()
    assert done.exit_code == 0
    assert submitted.startswith("vaebench: as submitted: mine: data set")
    assert "absent.npz" in submitted
    assert unused.endswith("--data digitz: data must have a label of ['digits']; none has this")
    assert call("league", bundle, *options).stderr == ""
