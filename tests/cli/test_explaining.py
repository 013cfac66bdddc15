"""`vaebench explain` names what is wrong with the runs of a folder, or with one."""

import json

import msgspec
from click.testing import CliRunner

from tests.report.clinic.test_rules import case
from vaebench import results
from vaebench.cli import main

SICK, WELL = f"{1:016x}", f"{2:016x}"


def explained(folder, *options):
    return CliRunner().invoke(main, ["explain", str(folder), *options])


def test_a_folder_and_one_of_its_runs(tmp_path):
    results.prepare(tmp_path)
    for run, one, seed in ((SICK, case(rate=0.01), 0), (WELL, case(), 1)):
        labels = msgspec.structs.replace(one.record.labels, seed=seed)
        results.write(tmp_path, msgspec.structs.replace(one.record, run=run, labels=labels))
    of_all = explained(tmp_path)
    assert of_all.exit_code == 0
    assert ": posterior collapse\n  elbo (1 of 2 runs): " in of_all.output
    assert "(1 of 1 run)" in explained(tmp_path, SICK).output
    assert explained(tmp_path, WELL).output == "no rule finds anything wrong with 1 run\n"
    (one,) = json.loads(explained(tmp_path, "--json").output)["complaints"]
    assert one["name"] == "posterior collapse" and one["advice"]


def test_what_variants_have_in_common_is_said_once(tmp_path):
    results.prepare(tmp_path)
    sick = case(rate=0.01).record
    for run, variant in ((SICK, "elbo"), (WELL, "iwae")):
        labels = msgspec.structs.replace(sick.labels, variant=variant)
        results.write(tmp_path, msgspec.structs.replace(sick, run=run, labels=labels))
    said = explained(tmp_path).output
    assert said.count("posterior collapse") == 1
    assert "  elbo (1 of 1 run): " in said and "  iwae (1 of 1 run): " in said


def test_a_run_that_is_not_there(tmp_path):
    results.prepare(tmp_path)
    results.write(tmp_path, case().record)
    assert explained(tmp_path, "f" * 16).exit_code == 2
