"""The command line, as a user meets it."""

import json

import pytest
from click.testing import CliRunner

from tests.support import SHARED_DATA
from vaebench.cli import main

STUDY = """
name = "tiny"
[base]
likelihood = "bernoulli"
model = { latent_dim = 2, widths = [8] }
train = { num_steps = 12, batch_size = 16 }
evaluate = { num_samples = 3, num_images = 20 }
data = { name = "digits", binarisation = "dynamic" }
[axes]
seed = [0, 1]
objective = ["elbo", "elbo_mc"]
"""


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(STUDY)
    return path


def call(*arguments):
    return CliRunner(env={"COLUMNS": "200"}).invoke(main, [str(a) for a in arguments])


def test_run_report_compare(study, tmp_path):
    out = tmp_path / "out"
    done = call("run", study, "--out", out, "--executor", "inline")
    assert done.exit_code == 0, done.output
    assert "4 of 4 runs done" in done.stdout
    assert done.stdout.endswith(f"\nnext: vaebench report {out}, vaebench compare {out}\n")
    again = call("run", study, "--out", out, "--executor", "inline", "--quiet")
    assert again.stdout == f"4 of 4 runs done, recorded in {out}/runs\n"
    report = call("report", out)
    assert report.exit_code == 0
    assert "elbo_mc" in report.stdout
    assert str(out / "report" / "table.md") in report.stdout
    assert (out / "report" / "throughput.png").exists()
    assert " in nll (difference " in call("compare", out).stdout


def test_a_lost_run_gives_status_1_and_is_named(study, tmp_path):
    done = call(
        "run",
        study,
        "--out",
        tmp_path / "out",
        "--executor",
        "inline",
        "--set",
        "base.train.learning_rate=1e30",
        "--set",
        "base.train.num_steps=60",
    )
    assert done.exit_code == 1
    assert "0 of 4 runs done" in done.stdout
    assert "next:" not in done.stdout
    assert done.stderr.count("diverged: elbo") == 4
    assert "the loss was not finite at step" in done.stderr


def test_sweep(study, tmp_path):
    done = call(
        "sweep",
        study,
        "--trials",
        2,
        "--out",
        tmp_path / "out",
        "--executor",
        "inline",
        "--set",
        "axes.objective=beta_elbo",
    )
    assert done.exit_code == 0, done.output
    assert "objective.beta" in done.stdout
    assert (tmp_path / "out" / "best.toml").exists()


@pytest.mark.parametrize("kind", ["objectives", "likelihoods", "schedules", "models", "datasets"])
def test_list(kind):
    listed = json.loads(call("list", kind, "--json").stdout)
    assert listed[kind]
    assert listed[kind][0]["name"] in call("list").stdout


def test_certify():
    done = call("certify", "iwae", "gaussian", "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    rows = [*report["findings"], *report["derivation"]]
    assert {row["result"] for row in rows} == {"holds"}
    assert {row["kind"] for row in report["findings"]} == {"objective", "likelihood"}
    assert len(report["derivation"]) == 10


def test_certify_prints_both_tables_and_counts():
    done = call("certify", "bernoulli", "--kind", "likelihoods")
    assert done.exit_code == 0, done.output
    assert "log p(x) - KL[q(z|x) || p(z|x)] = E_q[log p(x|z)] - KL[q(z|x) || p(z)]" in done.stdout
    assert done.stdout.rstrip().endswith("facts hold, 0 fail")


def test_certify_says_which_range_it_covers_and_that_a_remark_is_no_failure(tmp_path):
    (tmp_path / "honest.py").write_text(HARMONIC)
    done = call("certify", "harmonic_mean", "--plugin", tmp_path / "honest.py")
    from vaebench.objectives import OBJECTIVES

    del OBJECTIVES._entries["harmonic_mean"]
    assert done.exit_code == 0, done.output
    *_, covered, remarks, counts = done.stdout.splitlines()
    assert "rates of 1e-04 to 1e+04 nats" in covered
    assert "K of up to 128" in covered
    assert remarks == "remarks, on what is not declared: 1"
    assert counts.endswith(" 0 fail")


HARMONIC = """
import vaebench as vb

@vb.objective(source="", bound="lower")
def harmonic_mean(t):
    return vb.densities.log_mean_exp(-t.log_w)
"""


def test_what_fails_comes_first_and_gives_status_1(tmp_path):
    (tmp_path / "wrong.py").write_text(WRONG)
    wrong = ["--plugin", tmp_path / "wrong.py"]
    done = call("certify", "gaussian", "bare_mse", *wrong, "--kind", "likelihoods")
    from vaebench.models.likelihoods import LIKELIHOODS

    del LIKELIHOODS._entries["bare_mse"]
    assert done.exit_code == 1, done.output
    results = [line.split()[-1] for line in done.stdout.splitlines() if " likelihood " in line]
    assert results == sorted(results)
    assert results[0] == "FAILS"
    assert done.stdout.rstrip().endswith(f"{results.count('FAILS')} fail")


WRONG = """
import vaebench as vb

@vb.likelihood(source="", measure="density", support=vb.REAL, mean=lambda out: out)
def bare_mse(x, out):
    return -(x - out).square().sum(-1)
"""


def test_kernels(tmp_path, monkeypatch):
    from vaebench.ops.check import speed

    monkeypatch.setattr(speed.time_operations, "__defaults__", ((),))
    monkeypatch.setenv("TRITON_INTERPRET", "1")  # what compiles is tested in tests/ops
    done = call("kernels", "--out", tmp_path / "timings")
    assert done.exit_code == 0, done.output
    (path,) = (tmp_path / "timings").iterdir()
    assert {row["status"] for row in json.loads(path.read_text())} == {"passed"}


def edited(old, new):
    return lambda study: study.write_text(STUDY.replace(old, new))


MISTAKES = {
    "command": (["rum"], None, "unknown command 'rum'; did you mean 'run'"),
    "kind": (["list", "objectivs"], None, "did you mean 'objectives'"),
    "objective": (None, edited('"elbo"', '"elbow"'), "did you mean 'elbo'"),
    "key": (None, edited("num_steps", "num_step"), "did you mean 'num_steps'"),
    "type": (None, edited("= 12", '= "12"'), "a whole number; got '12': write 12"),
    "K": (
        None,
        edited("num_samples = 3", "num_samples = 0"),
        "must be a whole number of at least 1",
    ),
    "grey": (None, edited('"dynamic"', '"none"'), "'bernoulli' needs x in {0, 1}"),
    "data": (None, edited('"digits"', '"digit"'), "did you mean 'digits'"),
    "file": (None, edited('"digits"', '"./no.npz"'), "there is none at"),
    "option": (["--wrkers", "2"], None, "No such option"),
    "number": (["--workers", "two"], None, "'two' is not a valid integer"),
    "executor": (["--executor", "ry"], None, "did you mean 'ray'"),
    "workers": (["--workers", "0"], None, "workers must be a whole number of at least 1"),
    "plugin": (["--plugin", "absent.py"], None, "must be a Python file; it is not there"),
    "no Python": (["--plugin", "tiny.toml"], None, "Python file; its name must end in .py"),
    "no folder": (
        ["--dry-run", "--out", "tiny.toml"],
        None,
        "the results folder must be a folder; tiny.toml",
    ),
    "npy": (
        None,
        edited('"digits"', '"./x_train.npy"'),
        "named by their folder, in which",
    ),
    "no results": (["report", "."], None, "run a study first"),
    "certify": (["certify", "iwea"], None, "did you mean 'iwae'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_status_2_and_nothing_written(study, tmp_path, monkeypatch, mistake):
    arguments, edit, message = MISTAKES[mistake]
    monkeypatch.chdir(tmp_path)
    if edit:
        edit(study)
    if arguments is None or arguments[0].startswith("--"):
        arguments = ["run", study, "--out", tmp_path / "out", *(arguments or [])]
    done = call(*arguments)
    assert done.exit_code == 2, done.output
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert not list(tmp_path.rglob("*.json"))


def test_a_data_set_that_cannot_be_fetched_says_where_to_put_it(study, tmp_path, monkeypatch):
    from vaebench.data import lookup, publishers

    monkeypatch.setenv("VAEBENCH_DATA", str(tmp_path))
    monkeypatch.setattr(lookup, "cache_folder", lambda: tmp_path / "cache")
    files = {"x_train": ("http://127.0.0.1:9/x", "sha256:" + "0" * 64)}
    monkeypatch.setitem(lookup.SOURCES, "mnist", publishers.Source(files, publishers.idx))
    edited('"digits"', '"mnist"')(study)
    done = call("run", study, "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert f"put mnist.npz with x_train and x_test into {tmp_path}" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_output_folder_that_is_a_file(study, tmp_path):
    (tmp_path / "out").write_text("")
    done = call("run", study, "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "must be writable" in done.stderr


@pytest.mark.skipif(
    not (SHARED_DATA / "mnist.npz").exists(), reason="needs mnist.npz in $VAEBENCH_DATA"
)
def test_other_data_run_end_to_end(study, tmp_path, monkeypatch):
    monkeypatch.setenv("VAEBENCH_DATA", str(SHARED_DATA))
    edited(
        'name = "digits", binarisation = "dynamic"',
        'name = "binarized_mnist", binarisation = "static"',
    )(study)
    done = call(
        "run",
        study,
        "--out",
        tmp_path / "out",
        "--executor",
        "inline",
        "--no-timings",
        "--set",
        "axes.objective=elbo",
        "--set",
        "axes.seed=0",
    )
    assert done.exit_code == 0, done.output
