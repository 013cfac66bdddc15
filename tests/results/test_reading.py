"""Records that nobody vouches for: each is named in one line, and hides no other."""

import json
import os
import re
import shutil

import msgspec
import pytest
from click.testing import CliRunner

from tests.support.runs import tiny
from tests.support.studies import study_text
from vaebench import results
from vaebench.cli import main
from vaebench.config.resolve import resolve
from vaebench.core.errors import InputError, InputWarning
from vaebench.results import Labels, Record, metric
from vaebench.running.harness import run_all, train_all

GOOD, BAD = "0" * 16, "1" * 16
SPACE = "digits/dynamic/mass/K=5/0"


def record(run, seed):
    labels = Labels("digits", "bernoulli", "elbo", "{}", "elbo", 1, SPACE, "train.a=1", seed)
    return Record(
        run=run,
        study="s",
        labels=labels,
        status="done",
        metrics=[metric("nll", 20.0 + seed)],
        curves={"step": [1.0, 2.0], "valid_elbo_nats": [-30.0, -20.0]},
    )


@pytest.fixture
def folder(tmp_path):
    results.prepare(tmp_path)
    for run, seed in ((GOOD, 0), (BAD, 1)):
        results.write(tmp_path, record(run, seed))
    return tmp_path


def edited(**changes):
    """The record with other fields; of its labels too, by their names."""

    def spoil(path):
        table = json.loads(path.read_text())
        for name, value in changes.items():
            (table if name in table else table["labels"])[name] = value
        path.write_text(json.dumps(table))

    return spoil


def holding(content):
    return lambda path: path.write_bytes(content)


def folder_instead(path):
    path.unlink()
    path.mkdir()


def loop(path):
    path.unlink()
    path.symlink_to(path)


def pipe(path):
    path.unlink()
    os.mkfifo(path)


NLL = {"metric": "nll", "value": 1.0, "unit": "nats", "higher_is_better": False}
DAMAGES = {
    "a path": (edited(run="../../pwn"), "the file's name, 16 hex digits; got '../../pwn'"),
    "another's": (edited(run=GOOD), f"the file's name, 16 hex digits; got '{GOOD}'"),
    "no id": (edited(run=""), "16 hex digits; got ''"),
    "ragged": (edited(curves={"step": [1], "loss": []}), "got {'step': 1, 'loss': 0}"),
    "no steps": (edited(curves={"loss": [1.0]}), "curves must have their steps; got loss"),
    "large seed": (edited(seed=2**63), "seed must be from 0 to 2**63 - 1; got 9223372036854775808"),
    "seed below 0": (edited(seed=-1), "seed must be from 0 to 2**63 - 1; got -1"),
    "no samples": (edited(num_samples=0), "num_samples must be from 1 to 2**63 - 1; got 0"),
    "twice": (edited(metrics=[NLL, NLL]), "a metric must be there once; got twice nll"),
    "huge": (edited(metrics=[NLL | {"value": 10**400}]), "out of range"),
    "NaN": (edited(metrics=[NLL | {"value": float("nan")}]), "JSON is malformed"),
    "text": (edited(metrics=[NLL | {"value": "1"}]), "Expected `float | null`, got `str`"),
    "status": (edited(status="fine"), "Invalid enum value 'fine'"),
    "no table": (edited(config={"train": 3}), "its train must be a table with a number of steps"),
    "steps": (edited(config={"train": {"num_steps": "9"}}), "a number of steps; got {'num_steps'"),
    "lacks all": (holding(b"{}"), "missing required field `run`"),
    "empty": (holding(b""), "truncated"),
    "zeros": (holding(bytes(9)), "JSON is malformed"),
    "a list": (holding(b"[]"), "Expected `object`, got `array`"),
    "deep": (holding(b'{"config": {"a": ' + b"[" * 100_000), "maximum recursion depth"),
    "latin": (holding(b'{"run": "\xff"}'), "invalid start byte"),
    "a folder": (folder_instead, "it is no file"),
    "a loop": (loop, "it is no file"),
    "a pipe": (pipe, "it is no file"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_bad_record_is_named_and_the_others_are_read(folder, damage):
    spoil, problem = DAMAGES[damage]
    path = folder / "runs" / f"{BAD}.json"
    spoil(path)
    with pytest.warns(InputWarning) as caught:
        rows = results.load(folder)
    assert set(rows["run"]) == {GOOD}
    (said,) = {str(warning.message) for warning in caught}
    assert said.startswith(f"left out: {path} must be a record of this version (")
    assert problem in said
    assert os.path.lexists(path)


@pytest.mark.parametrize("name", ["f" * 15, "F" * 16, "notes", f"{BAD} copy", f"{BAD}.json.json"])
def test_a_file_that_is_named_otherwise_is_left_alone(folder, name):
    shutil.copy(folder / "runs" / f"{BAD}.json", folder / "runs" / f"{name}.json")
    with pytest.warns(InputWarning, match="its run must be the file's name"):
        assert set(results.recorded(folder)) == {GOOD, BAD}


def test_a_record_of_an_earlier_version_is_read_and_what_a_later_one_adds_passed_over(folder):
    path = folder / "runs" / f"{BAD}.json"
    table = json.loads(path.read_text())
    for name in ("weights", "curves", "operations", "environment", "reason"):
        table.pop(name, None)
    path.write_text(json.dumps(table | {"of_a_later_version": 1}))
    assert set(results.recorded(folder)) == {GOOD, BAD}


@pytest.mark.parametrize("others", [{}, {"labels": "of another shape"}])
def test_a_record_of_a_later_schema_is_refused_by_name_and_never_replaced(
    tmp_path, tiny_npz, others
):
    (config,) = resolve([tiny(tiny_npz)])
    results.prepare(tmp_path)
    good = msgspec.to_builtins(record(config.id, 0))
    path = tmp_path / "runs" / f"{config.id}.json"
    path.write_text(text := json.dumps(good | {"schema": 2} | others))
    said = f"{path} is a record of schema 2, which a later vaebench wrote; this one reads up to 1"
    with pytest.raises(InputError, match=re.escape(said)):
        run_all([config], tmp_path, "s", executor="inline")
    with pytest.raises(InputError, match=re.escape(said)):
        results.write(tmp_path, record(config.id, 0))
    with pytest.warns(InputWarning, match=re.escape(f"left out: {said}")):
        assert not list(results.records(tmp_path))
    assert path.read_text() == text and not list(tmp_path.rglob("*.broken"))


def call(*arguments):
    return CliRunner(env={"COLUMNS": "200"}).invoke(main, [str(a) for a in arguments])


def test_the_command_line_says_it_once_and_goes_on(folder):
    results.write(folder, record("2" * 16, 1))
    (folder / "runs" / f"{BAD}.json").write_text("{")
    for command in ("report", "compare"):
        done = call(command, folder)
        assert done.exit_code == 0, done.output
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"vaebench: left out: {folder}/runs/{BAD}.json must be a record")


TIMING = {"run": f"timing-{GOOD}", "config": {"runs": [GOOD]}}
TIMINGS = {
    "without runs": (TIMING | {"config": {}}, "a timing must list its runs; got None"),
    "runs of numbers": (TIMING | {"config": {"runs": [1]}}, "must list its runs; got [1]"),
    "a path": (TIMING | {"run": "../x"}, "must be 'timing-' and 16 hex digits; got '../x'"),
    "not a list": (None, "Expected `array`"),
}


@pytest.mark.parametrize("damage", TIMINGS)
def test_bad_timings_hide_no_run(folder, damage):
    changes, problem = TIMINGS[damage]
    table = json.loads((folder / "runs" / f"{GOOD}.json").read_text())
    content = [table | changes] if changes else table
    (folder / "timings.json").write_text(json.dumps(content))
    with pytest.warns(InputWarning) as caught:
        assert set(results.load(folder)["run"]) == {GOOD, BAD}
    (warning,) = caught
    assert problem in str(warning.message)


def test_a_run_whose_record_is_damaged_is_run_again_and_the_file_put_aside(tmp_path, tiny_npz):
    (config,) = resolve([tiny(tiny_npz)])
    results.prepare(tmp_path)
    path = tmp_path / "runs" / f"{config.id}.json"
    path.write_text("{")
    (tmp_path / "timings.json").write_text("{")
    with pytest.warns(InputWarning):
        run_all([config], tmp_path, "s", executor="inline")
    assert results.recorded(tmp_path) == {config.id: "done"}
    assert len(results.timings(tmp_path)) == 1
    for name in (path, tmp_path / "timings.json"):
        assert name.with_name(f"{name.name}.broken").read_text() == "{"


@pytest.mark.parametrize("reason", ["", " \n"])
def test_a_loss_without_a_reason_is_told(tmp_path, tiny_npz, monkeypatch, reason):
    (config,) = resolve([tiny(tiny_npz)])
    lost = Record(
        run=config.id,
        study="s",
        labels=record(GOOD, 0).labels,
        status="diverged",
        reason=reason,
    )
    results.prepare(tmp_path / "out")
    results.write(tmp_path / "out", lost)
    study = tmp_path / "s.toml"
    study.write_text(study_text(tiny_npz, num_samples=5, num_images=40))
    done = call("run", study, "--out", tmp_path / "out", "--executor", "inline", "--no-timings")
    assert done.exit_code == 1
    assert f"({config.id}): no reason is recorded" in done.stderr


IDS = ["../../pwn", "", "0" * 15, "A" * 16, f"{GOOD}\n", "timing-0123456789abcdef"]


@pytest.mark.parametrize("run", IDS)
def test_what_is_no_id_names_no_file(folder, run):
    calls = (
        lambda: results.examples(folder, run),
        lambda: results.write_examples(folder, run, {}),
        lambda: results.write_part(folder, "weights", run, b""),
        lambda: results.write(folder, record(run, 0)),
    )
    for call_ in calls:
        with pytest.raises(InputError, match="a run's id is 16 hex digits; got"):
            call_()


def test_evaluate_reads_and_writes_nothing_outside_the_folder(tmp_path, tiny_npz):
    out = tmp_path / "a" / "b" / "out"
    train_all(resolve([tiny(tiny_npz, seed=i) for i in range(2)]), out, "s", executor="inline")
    path = min((out / "runs").iterdir())
    shutil.copy(out / "weights" / f"{path.stem}.pt", out.parent / "pwn.pt")
    edited(run="../../pwn")(path)
    before = {p for p in tmp_path.rglob("*") if out not in p.parents}
    done = call("evaluate", out, "--keep", "--grading", "latent")
    assert done.exit_code == 0, done.output
    assert f"left out: {path}" in done.stderr
    assert {p for p in tmp_path.rglob("*") if out not in p.parents} == before
    refused = call("evaluate", out, "--run", "../../pwn")
    assert refused.exit_code == 2
    assert "no finished run '../../pwn'" in refused.stderr


@pytest.mark.parametrize("part", ["runs", "weights", "samples", "examples"])
def test_a_folder_of_the_suites_own_is_no_place_for_other_files(folder, part):
    refusal = "keeps its " + part
    assert refusal in call("evaluate", folder, "--out", folder / part).stderr
    assert refusal in call("report", folder, "--out", folder / part).stderr
    for call_ in (
        lambda: results.prepare(folder / part),
        lambda: results.write_rows(folder / part, "evaluation", []),
    ):
        with pytest.raises(InputError, match=refusal):
            call_()


def test_one_run_of_an_unknown_part_hides_no_other(tmp_path, tiny_npz):
    configs = resolve([tiny(tiny_npz, seed=i) for i in range(2)])
    train_all(configs, tmp_path, "s", executor="inline")
    path = min((tmp_path / "runs").iterdir())
    table = json.loads(path.read_text())
    for changes, reason in (
        ({"objective": {"name": "of_a_plugin", "hyper": {}}}, "unknown objective 'of_a_plugin'"),
        ({"likelihood": {"name": "gaussian", "hyper": {}}}, "its 'gaussian' must have sigma"),
        ({"model": {"latent_dim": 10**12, "widths": [8]}}, "no model can be made of its config"),
        ({"model": 3}, "model must be a table"),
        (
            {"evaluate": {"num_samples": 5, "extractor": "/no.py:f"}},
            "grading 'samples' is refused: extractor '/no.py:f'",
        ),
        ({"data": {"name": "/no.npz"}}, "data set /no.npz must be an .npz, .csv or .parquet file"),
    ):
        path.write_text(json.dumps(table | {"config": table["config"] | changes}))
        done = call("evaluate", tmp_path)
        assert done.exit_code == 1, done.output
        (line,) = done.stderr.splitlines()[-1:]
        assert line.startswith(f"vaebench: not graded: {path.stem}: {reason}")
        assert "nll" in done.stdout
