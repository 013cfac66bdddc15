"""The commands for results folders: runs, export and merge."""

import json
import shlex
import shutil

import msgspec
import pandas as pd
import pytest
from click.testing import CliRunner

from tests.support.runs import tiny
from vaebench import results
from vaebench.cli import main
from vaebench.config.resolve import resolve
from vaebench.running.harness import run_all


def call(*arguments):
    return CliRunner(env={"COLUMNS": "300"}).invoke(main, [str(a) for a in arguments])


def said(*arguments):
    done = call(*arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


def refused(*arguments):
    done = call(*arguments)
    assert done.exit_code == 2, done.output
    (line,) = done.stderr.splitlines()
    return line.removeprefix("vaebench: ")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_data):
    """Two variants of two seeds each: elbo, and beta_elbo at beta = 3."""
    out = tmp_path_factory.mktemp("trained")
    objectives = ("elbo", {"name": "beta_elbo", "beta": 3.0})
    configs = [tiny(tiny_data, objective=o, seed=s) for o in objectives for s in range(2)]
    run_all(resolve(configs), out, "s", executor="inline", timings=False)
    return out


@pytest.fixture
def folder(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "folder")


def records(folder):
    return {record.run: record for record in results.records(folder)}


def failed(folder):
    """A run of the folder, made to have failed."""
    run, record = sorted(records(folder).items())[0]
    reason = "Traceback:\nRuntimeError: no such luck"
    changed = msgspec.structs.replace(record, status="failed", reason=reason, metrics=[])
    (folder / "runs" / f"{run}.json").write_bytes(results.encoded(changed))
    return run


def listed(folder, *wanted):
    return {row["run"] for row in json.loads(said("runs", folder, *wanted, "--json"))["runs"]}


def test_runs_are_listed_and_counted_the_lost_ones_first(folder):
    run = failed(folder)
    output = said("runs", folder, "--limit", "3")
    assert "4 runs: 3 done, 1 failed; 3 are listed: --limit lists more" in output
    lines = [line for line in output.splitlines() if line.strip()]
    assert run in lines[2] and lines[2].rstrip().endswith("RuntimeError: no such luck")


def test_runs_of_one_variant_are_listed_with_the_settings_that_differ(folder):
    assert "settings" not in said("runs", folder)
    run, record = sorted(records(folder).items())[0]
    settings = f"{record.labels.settings} model.norm=batch"
    labels = msgspec.structs.replace(record.labels, settings=settings)
    changed = msgspec.structs.replace(record, labels=labels)
    (folder / "runs" / f"{run}.json").write_bytes(results.encoded(changed))
    (line,) = [line for line in said("runs", folder).splitlines() if "model.norm=batch" in line]
    assert run in line


def test_conditions_choose_among_them(folder):
    run = failed(folder)
    every = records(folder)
    of = {
        o: {i for i, r in every.items() if r.labels.objective == o} for o in ("elbo", "beta_elbo")
    }
    assert listed(folder) == set(every)
    assert listed(folder, "--status", "failed") == {run} == listed(folder, "status=failed")
    assert listed(folder, "objective=elbo") == of["elbo"] == listed(folder, "objective!=beta_elbo")
    assert listed(folder, "beta>2") == of["beta_elbo"] == listed(folder, "objective.beta = 3")
    assert listed(folder, "beta>3") == set() == listed(folder, "beta<=2.9")
    assert listed(folder, "beta>2", "seed=1") == {
        i for i in of["beta_elbo"] if every[i].labels.seed == 1
    }
    values = {i: {m.metric: m.value for m in r.metrics}.get("elbo") for i, r in every.items()}
    assert listed(folder, "elbo<-5") == {i for i, v in values.items() if v is not None and v < -5}


def test_a_word_that_no_run_has_is_answered_with_those_that_runs_have(folder):
    done = call("runs", folder, "objective=elbow", "seed=7")
    assert (done.exit_code, done.stdout) == (0, "0 runs\n")
    hint = "no run has objective=elbow; did you mean 'elbo'? known: beta_elbo, elbo"
    assert done.stderr == f"vaebench: {hint}\n"
    assert not call("runs", folder, "objective=elbo", "seed=7").stderr


WRONG = {
    "no condition": (["beta"], "a condition must be NAME=VALUE, or with != < > <= >=, as in "),
    "no column": (["betta=3"], "no run has 'betta'; did you mean 'beta'"),
    "no number": (["seed=one"], "seed holds numbers, and is compared with one; got 'one'"),
    "words in order": (["objective>elbo"], "objective holds words, which are = or !=; got >"),
    "several": (["name=mlp"], "'name' is each of "),
    "no id": (["--show", "xyz"], "a run's id is 16 hex digits; got 'xyz'"),
    "no run": (["--show", "0" * 16], "must be a record of this version (it is no file)"),
    "two tasks": (["--prune", "--retry"], "give one of --show, --prune and --retry; got several"),
    "not for it": (["--workers", "2"], "--out and --workers are for --retry"),
    "unasked": (["--prune"], "removing 4 runs of "),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_cannot_be_meant_is_refused_in_one_line(folder, wrong):
    arguments, problem = WRONG[wrong]
    assert problem in refused("runs", folder, *arguments)
    assert len(records(folder)) == 4


def test_a_folder_without_results_is_refused(tmp_path):
    assert "must hold results (runs/*.json); it has none" in refused("runs", tmp_path)
    assert "must be a results folder" in refused("merge", tmp_path, "--out", tmp_path / "out")


def test_one_run_is_shown_with_all_that_is_known_of_it(folder):
    run = failed(folder)
    output = said("runs", folder, "--show", run)
    assert "no such luck" in output and "train.num_steps = 12" in output
    assert "valid_elbo_nats" in output
    shown = json.loads(said("runs", folder, "--show", run, "--json"))
    assert shown["record"]["run"] == run and shown["command"] in output


def test_the_shown_command_does_the_run_again_alone(folder):
    run, record = sorted(records(folder).items())[0]
    command = json.loads(said("runs", folder, "--show", run, "--json"))["command"]
    assert said(*shlex.split(command)[1:]).startswith("1 of 1 runs done")
    (again,) = records(folder.with_name(f"folder-{run}")).values()
    assert again.metrics == record.metrics and again.weights == record.weights


def test_failed_runs_are_done_again_and_others_are_not(folder):
    before = records(folder)
    run = failed(folder)
    assert said("runs", folder, "--retry", "--workers", "1").startswith("1 of 1 runs done")
    after = records(folder)
    assert after[run].metrics == before[run].metrics
    assert {i: r for i, r in after.items() if i != run} == {
        i: r for i, r in before.items() if i != run
    }
    assert said("runs", folder, "--retry") == "no run to do again\n"


def test_a_run_that_would_not_be_the_same_is_not_done_again(folder):
    run = failed(folder)
    table = json.loads((folder / "runs" / f"{run}.json").read_text())
    table["config"]["train"]["num_steps"] = 13
    (folder / "runs" / f"{run}.json").write_text(json.dumps(table))
    assert "would not be the same: its data, plugin files or" in refused("runs", folder, "--retry")


def test_a_run_that_was_made_with_a_plugin_asks_for_it(folder):
    run = failed(folder)
    table = json.loads((folder / "runs" / f"{run}.json").read_text())
    table["config"] |= {"objective": {"name": "mine", "hyper": {}}, "plugin": "f" * 16}
    (folder / "runs" / f"{run}.json").write_text(json.dumps(table))
    said = refused("runs", folder, "--retry")
    asked = f"run {run} was made with plugins, which must be given again by --plugin FILE.py"
    assert said.startswith(f"{asked}: unknown objective 'mine'")


def test_runs_are_removed_with_all_their_files_and_no_others(folder):
    gone = listed(folder, "beta>2")
    assert said("runs", folder, "beta>2", "--prune", "--yes").startswith("removed 2 runs of ")
    left = {path.stem for path in folder.rglob("*") if len(path.stem) == 16}
    assert left == set(records(folder)) and len(left) == 2 and not left & gone
    assert "no run has 'beta'" in refused("runs", folder, "beta>2", "--prune", "--yes")
    assert said("runs", folder, "seed=7", "--prune", "--yes") == "no run to remove\n"


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_rows_are_exported_with_typed_columns(folder, tmp_path, name):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    path = tmp_path / name
    rows = results.load(folder)
    assert said("export", folder, path) == f"{len(rows)} rows in {path}\n"
    read = pd.read_csv(path) if name.endswith("csv") else pd.read_parquet(path)
    assert list(read.columns) == list(rows.columns)
    assert read["objective.beta"].dtype == float
    assert read["value"].equals(rows["value"]), "to the last bit"
    assert set(read["objective.beta"].dropna()) == {3.0}
    if name.endswith("parquet"):
        assert read["seed"].dtype == "Int64" and read["higher_is_better"].dtype == "boolean"


def test_other_files_of_rows_are_refused(folder, tmp_path):
    assert "must end in .parquet or .csv; got" in refused("export", folder, tmp_path / "rows.xls")
    assert "must be in a folder that is there" in refused(
        "export", folder, tmp_path / "no" / "r.csv"
    )
