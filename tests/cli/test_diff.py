"""`vaebench diff` ends with 1 where something is worse, with 2 where it cannot be asked."""

import json

import pytest
from click.testing import CliRunner

from tests.report.diff.test_differences import AFTER, BEFORE, folder_of, runs_of
from vaebench.cli import main


@pytest.fixture
def two(tmp_path):
    pair = zip("ab", (BEFORE, AFTER), strict=True)
    return [str(folder_of(tmp_path / name, runs_of("elbo", values))) for name, values in pair]


@pytest.mark.parametrize(
    ("swapped", "more", "status"),
    [
        (False, [], 1),
        (False, ["--margin", "1.5"], 0),
        (False, ["--metric", "rate"], 0),
        (False, ["--json"], 1),
        (True, [], 0),
        (False, ["--margin", "-1"], 2),
        (False, ["--metric", "nl"], 2),
    ],
)
def test_exit_status(two, swapped, more, status):
    folders = two[::-1] if swapped else two
    done = CliRunner().invoke(main, ["diff", *folders, *more])
    assert done.exit_code == status, done.output


def test_a_folder_that_is_not_there_is_usage(two, tmp_path):
    done = CliRunner().invoke(main, ["diff", two[0], str(tmp_path / "none")])
    assert done.exit_code == 2
    assert done.stdout == ""


def test_json_is_one_object(two):
    stated = json.loads(CliRunner().invoke(main, ["diff", *two, "--json"]).stdout)
    assert set(stated) == {"schema", "before", "after", "comparisons", "step_times", "notes"}
    assert [line["is_worse"] for line in stated["comparisons"]] == [True, False]


def test_compare_ends_with_1_where_another_is_worse_than_the_reference(tmp_path):
    """The reference may be the better or the worse of a pair; without one nothing is judged."""
    runs = [*runs_of("elbo", BEFORE), *runs_of("iwae", AFTER)]
    folder = str(folder_of(tmp_path / "c", runs))
    for more, status in (
        ([], 0),
        (["--against", "elbo"], 1),
        (["--against", "elbo", "--margin", "1.5"], 0),
        (["--against", "iwae"], 0),
    ):
        done = CliRunner().invoke(main, ["compare", folder, *more])
        assert done.exit_code == status, (more, done.output)
