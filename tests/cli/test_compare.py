"""`vaebench compare`: in words for people, or as JSON, with null for what is not known."""

import json

import msgspec
from click.testing import CliRunner

from tests.report.test_tables import RECORDS
from vaebench import results
from vaebench.cli import main
from vaebench.report.comparison import comparisons


def test_pairs_as_json(tmp_path):
    results.prepare(tmp_path)
    for one in RECORDS:
        results.write(tmp_path, one)
    done = CliRunner().invoke(main, ["compare", str(tmp_path), "--json", "--against", "elbo"])
    assert done.exit_code == 1, "one is worse than the reference"
    pairs = json.loads(done.output)["comparisons"]
    table = comparisons(results.load(tmp_path), against="elbo")
    assert [pair["worse"] for pair in pairs] == table["worse"].to_list()
    lost = next(pair for pair in pairs if pair["verdict"] == "are not compared")
    assert lost["difference"] is None and "diverged" in lost["reason"]


def test_words_have_the_name_for_people(tmp_path):
    """And the recorded word where runs have no configuration."""
    config = {"data": {"name": "digits", "binarisation": "dynamic"}}
    for folder, known, start in (
        ("named", config, "Digits, binarised anew each epoch; "),
        ("unnamed", {}, "digits/dynamic/mass/0: "),
    ):
        results.prepare(tmp_path / folder)
        for one in RECORDS:
            results.write(tmp_path / folder, msgspec.structs.replace(one, config=known))
        done = CliRunner().invoke(main, ["compare", str(tmp_path / folder)])
        assert done.exit_code == 0, done.output
        assert all(line.startswith(start) for line in done.output.splitlines())
