"""`vaebench compare --json` has the pairs of the table, with null for what is not known."""

import json

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
    assert done.exit_code == 0, done.output
    pairs = json.loads(done.output)
    table = comparisons(results.load(tmp_path), against="elbo")
    assert [pair["worse"] for pair in pairs] == table["worse"].to_list()
    lost = next(pair for pair in pairs if pair["verdict"] == "are not compared")
    assert lost["difference"] is None and "diverged" in lost["reason"]
