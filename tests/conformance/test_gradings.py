"""What holds of every grading of the registry: its figures are those of the model, however made."""

import dataclasses
import itertools
import re

import pytest
import torch
from click.testing import CliRunner

import vaebench as vb
import vaebench.running.perform as stack
from tests.support import ROOT
from tests.support.runs import tiny
from vaebench import results
from vaebench.cli import main
from vaebench.config import evaluation_settings
from vaebench.config.build import build_stack, load_data, streams
from vaebench.config.resolve import resolve
from vaebench.core.errors import InputError
from vaebench.data import Dataset, Images, Part
from vaebench.evaluation import GRADINGS, Grade, Subject, chunks, evaluate, with_own_streams
from vaebench.models import select
from vaebench.ops.noise import Noise
from vaebench.running.harness import train_all

pytestmark = pytest.mark.slow


SMALL = {
    "annealed": {"num_temperatures": 12, "num_chains": 3, "num_examples": 5, "num_leapfrog": 3},
    "gaps": {"num_examples": 5, "num_steps": 8},
}
"""Scalars of a grading that takes its time, for these tests."""
SIDE, S = 4, 3


def images(copies, seed):
    """Bars, by three factors: row, column and which of them is drawn; with some pixels turned."""
    factors = torch.tensor([*itertools.product(range(SIDE), range(SIDE), range(2))] * copies)
    x = torch.zeros(len(factors), SIDE, SIDE)
    for image, (row, column, which) in zip(x, factors, strict=True):
        (image[row] if which else image[:, column]).fill_(1.0)
    turned = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed)) < 0.05
    return Part(Images(torch.where(turned, 1 - x, x).flatten(1)), factors[:, 2], factors)


@pytest.fixture(scope="module")
def subject():
    """Three runs of different seeds, as they start, on a data set with labels and factors."""
    configs = [tiny(seed=i, model={"latent_dim": 3, "widths": [8]}) for i in range(S)]
    parts = dict(
        zip(("train", "valid", "test"), (images(4, 0), images(1, 1), images(2, 2)), strict=True)
    )
    return subject_of(configs, Dataset("bars", (SIDE, SIDE), "static", "f", **parts))


@pytest.fixture(scope="module")
def counted():
    """The same of runs on counts, for a grading that is about counts alone."""
    more = {"likelihood": "poisson", "data": {"name": "counts"}}
    configs = [tiny(seed=i, model={"latent_dim": 3, "widths": [8]}, **more) for i in range(S)]
    return subject_of(configs, load_data(configs[0].data))


def subject_of(configs, dataset):
    model = build_stack(configs, dataset.image_shape, dataset.log_volume)
    return Subject(model, dataset, streams(configs, "evaluate"), num_samples=20, num_images=60)


@pytest.fixture(scope="module")
def subjects(subject, counted):
    """A subject for each grading, of data that it can grade."""
    return {name: counted if name == "predictive" else subject for name in GRADINGS}


@pytest.fixture(scope="module")
def graded(subjects):
    """Each grading's grades of the stack."""
    return {name: grades(subjects[name], name) for name in GRADINGS}


def grades(subject, name):
    return evaluate(subject, {name: SMALL.get(name, {})}).grades


def alone(subject, run):
    keys = subject.noise.keys[run : run + 1]
    return dataclasses.replace(subject, model=select(subject.model, [run]), noise=Noise(keys))


def agree(ours, theirs, run=None):
    """Whether grades are the same; of one run of the first, where it is named."""
    for a, b in zip(ours, theirs, strict=True):
        assert (a.name, a.protocol, a.fingerprint) == (b.name, b.protocol, b.fingerprint)
        of_run = slice(None) if run is None else slice(run, run + 1)
        for field in ("values", "low", "high", "parts"):
            one, other = getattr(a, field), getattr(b, field)
            assert (one is None) == (other is None), (a.name, field)
            if one is not None:
                outcome = f"{a.name}: {field}"
                torch.testing.assert_close(
                    one[of_run].double(), other.double(), rtol=1e-3, atol=1e-4, msg=outcome
                )


NAMES = sorted(GRADINGS)


@pytest.mark.parametrize("name", NAMES)
def test_a_grade_is_complete(graded, subjects, name):
    for grade in graded[name]:
        assert grade.name in results.UNITS, grade.name
        assert grade.protocol
        assert grade.values.shape == (S,)
        assert torch.isfinite(grade.values.double()).all(), grade.name
        assert len(grade.doubts) in (0, S)
        if grade.low is not None:
            assert (grade.low <= grade.high).all(), grade.name
        if grade.parts is not None:
            assert grade.parts.shape[0] == S
            mean = grade.parts.double().mean(-1)
            torch.testing.assert_close(mean, grade.values.double(), rtol=1e-4, atol=1e-5)
    names = [grade.name for grade in graded[name]]
    assert len(set(names)) == len(names)


def test_no_two_gradings_give_the_same_figure(graded):
    names = [grade.name for computed in graded.values() for grade in computed]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("name", NAMES)
def test_a_run_in_a_stack_gets_the_grades_that_it_gets_alone(graded, subjects, name):
    for run in range(S):
        agree(graded[name], grades(alone(subjects[name], run), name), run)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_grades(graded, subjects, name):
    torch.manual_seed(123)
    torch.rand(5)
    agree(graded[name], grades(subjects[name], name))


@pytest.mark.parametrize("name", NAMES)
def test_chunks_do_not_show(graded, subjects, name, monkeypatch):
    monkeypatch.setattr(chunks, "CACHE_BYTES", 3000)
    agree(graded[name], grades(subjects[name], name))


@pytest.mark.parametrize("name", NAMES)
def test_threads_do_not_show(graded, subjects, name):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        agree(graded[name], grades(subjects[name], name))
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", NAMES)
def test_grades_do_not_depend_on_what_else_is_asked_for(graded, subjects, name):
    both = evaluate(subjects[name], {"latent": {}, name: SMALL.get(name, {})}).grades
    ours = {grade.name for grade in graded[name]}
    agree(graded[name], [grade for grade in both if grade.name in ours])


@pytest.mark.parametrize("name", NAMES)
def test_one_model_and_one_seed_get_one_grade(subjects, name):
    twins = dataclasses.replace(
        subjects[name], model=select(subjects[name].model, [0, 0]), noise=Noise((5, 5))
    )
    for grade in grades(twins, name):
        torch.testing.assert_close(grade.values[0], grade.values[1], rtol=1e-3, atol=1e-4)


def test_gradings_read_streams_of_their_own(subject):
    keys = {with_own_streams(subject, name).noise.keys for name in GRADINGS}
    assert len(keys) == len(GRADINGS) and subject.noise.keys not in keys


PAGE = (ROOT / "docs" / "evaluation.md").read_text()
OWN = next(
    block for block in re.findall(r"```python\n(.*?)```", PAGE, re.S) if "@vb.grading" in block
)
DIGITS = """\
likelihood = "bernoulli"
data = { name = "digits", binarisation = "threshold" }"""
SHAPES = DIGITS.replace("digits", "shapes")
COUNTS = """\
likelihood = "poisson"
data = { name = "counts" }"""
STUDY = f"""
name = "s"
[base]
objective = "elbo"
{DIGITS}
model = {{ latent_dim = 2, widths = [8] }}
train = {{ num_steps = 12, batch_size = 16 }}
evaluate = {{ num_samples = 3, num_images = 20, gradings = ["likelihood", "contrast"] }}
"""


def test_a_grading_of_the_users_own_is_a_figure_of_the_study(tmp_path):
    (tmp_path / "mine.py").write_text(OWN)
    (tmp_path / "s.toml").write_text(STUDY)
    plugin, out = str(tmp_path / "mine.py"), tmp_path / "out"
    rows = vb.run(tmp_path / "s.toml", out=out, plugins=[plugin], timings=False)
    (row,) = rows[rows["metric"] == "contrast"].to_dict("records")
    assert 0 < row["value"] <= 0.5 and (row["unit"], row["protocol"]) == ("1", "test")
    (record,) = results.records(out)
    assert record.config["plugin"]  # an edited file is run again


def test_a_grade_without_a_unit_is_refused(subject):
    nameless = Grade("mine", torch.zeros(S), "test")
    with pytest.raises(InputError, match="'mine' must state its unit"):
        results.metrics([nameless], 0)


# ------------------------------------------------------------------ as a study asks for them


@pytest.mark.parametrize("name", NAMES)
def test_a_grading_takes_its_scalars_as_a_study_has_them(subjects, name):
    """TOML's numbers and those of records arrive as floats, counts too."""
    table = {"name": name, **{k: float(v) for k, v in SMALL.get(name, {}).items()}}
    wanted = evaluation_settings({"gradings": [table]}).wanted
    assert wanted.keys() == {name}
    agree(grades(subjects[name], name), evaluate(subjects[name], wanted).grades)


@pytest.mark.parametrize("name", NAMES)
def test_the_command_grades_by_every_grading(tmp_path, name):
    data = COUNTS if name == "predictive" else SHAPES
    study = STUDY.replace(DIGITS, data).replace(', "contrast"', "")
    (tmp_path / "s.toml").write_text(study)
    vb.run(tmp_path / "s.toml", out=tmp_path / "out", timings=False, executor="inline")
    inside = ", ".join(f"{k} = {v}" for k, v in SMALL.get(name, {}).items())
    asked = f'{{ name = "{name}", {inside} }}' if inside else name
    call = ["evaluate", str(tmp_path / "out"), "--grading", asked]
    outcome = CliRunner().invoke(main, [*call, "--budget"])
    assert outcome.exit_code == 0 and "in all" in outcome.output, outcome.output
    done = CliRunner().invoke(main, [*call, "--keep"])
    assert done.exit_code == 0, done.output
    (record,) = results.records(tmp_path / "out")
    marks = {m.fingerprint for m in record.metrics}
    assert "" not in marks


def test_a_grading_that_raises_costs_its_run_and_no_training(tmp_path, monkeypatch):
    """The stack trains once; each run is graded alone; the weights of both are there."""
    configs = resolve([tiny(seed=i) for i in range(2)])
    culprit = with_own_streams(
        Subject(None, None, streams(configs[1:], "evaluate")), "latent"
    ).noise.keys[0]
    entry, trained = GRADINGS["latent"], []

    def grade(subject):
        if culprit in subject.noise.keys:
            raise RuntimeError("on purpose")
        return entry.grade(subject)

    monkeypatch.setitem(GRADINGS._entries, "latent", dataclasses.replace(entry, grade=grade))
    training = stack.training
    monkeypatch.setattr(
        stack, "training", lambda *args, **more: trained.append(1) or training(*args, **more)
    )
    ended = train_all(configs, tmp_path, "s", executor="inline")
    assert ended == {configs[0].id: "done", configs[1].id: "failed"}
    assert len(trained) == 1
    assert len(list((tmp_path / "weights").iterdir())) == 2
    failed = next(r for r in results.records(tmp_path) if r.status == "failed")
    assert "on purpose" in failed.reason and failed.curves


@pytest.mark.parametrize(
    "settings",
    [
        {"extractor": "pcaa"},
        {"extractor": "absent.py:f"},
        {"num_images": 3},
        {"gradings": ["likelihood", {"name": "samples", "num_neighbours": 500}]},
        {"gradings": ["likelihood", "disentanglement"]},
    ],
)
def test_what_cannot_be_graded_is_refused_before_training(settings):
    with pytest.raises(InputError):
        resolve([tiny(evaluate={"num_samples": 3, "num_images": 40} | settings)])
