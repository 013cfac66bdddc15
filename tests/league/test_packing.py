"""A folder as a bundle: the same bytes, all of a study, and nothing that a league would refuse."""

import zipfile

import msgspec
import pytest

from tests.support.bundles import manifest
from tests.support.runs import tiny
from vaebench import results
from vaebench.config.run_config import PROTOCOL
from vaebench.core.errors import InputError
from vaebench.league import opened, submit
from vaebench.league.packing import _sources
from vaebench.running.recording import labels

STUDY = """
name = "s"
[base]
likelihood = "bernoulli"
model = {{ latent_dim = 2, widths = [8] }}
train = {{ num_steps = 12, batch_size = 16 }}
evaluate = {{ num_samples = 5, gradings = ["likelihood"] }}
data = {{ name = "digits", binarisation = "dynamic" }}
[axes]
objective = ["elbo", "elbo_mc"]
seed = {seeds}
"""


def test_the_same_folder_gives_the_same_bytes(trained, bundle, tmp_path):
    again = tmp_path / "again.zip"
    assert submit(trained, again, name="mine") == 4
    assert again.read_bytes() == bundle.read_bytes()


def test_a_bundle_holds_the_runs_with_weights_and_examples(trained, contents):
    said = manifest(contents)
    runs = sorted(record.run for record in results.records(trained))
    suffixes = {"runs": "json", "weights": "pt", "examples": "npz"}
    expected = [f"{part}/{run}.{end}" for part, end in suffixes.items() for run in runs]
    assert sorted(said.members) == sorted(expected)
    for name in expected:
        assert contents[name] == (trained / name).read_bytes()
    assert (said.name, said.studies) == ("mine", ["s"])
    assert said.data == {"digits": [next(results.records(trained)).config["data"]["fingerprint"]]}


def test_weights_may_stay_at_home(trained, tmp_path):
    path = tmp_path / "small.zip"
    submit(trained, path, weights=False)
    assert not opened(path, tmp_path / "opened").weights_of()


def test_all_runs_of_a_study_must_be_there(trained, tmp_path):
    study, out = tmp_path / "s.toml", tmp_path / "a.zip"
    study.write_text(STUDY.format(seeds=[0, 1, 2]))
    with pytest.raises(InputError, match=r"2 of 6 are not, as elbo seed 2: run the study"):
        submit(trained, out, study=study)
    assert not out.exists()
    study.write_text(STUDY.format(seeds=[0, 1]))
    submit(trained, out, study=study)
    with zipfile.ZipFile(out) as file:
        assert file.read("study.toml") == study.read_bytes()


@pytest.mark.parametrize("name", ["a\nb", " a", "x" * 61])
def test_a_name_that_no_table_can_show_is_refused(trained, tmp_path, name):
    with pytest.raises(InputError, match="1 to 60 printable"):
        submit(trained, tmp_path / "a.zip", name=name)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="run a study first"):
        submit(tmp_path, tmp_path / "a.zip")


def test_runs_of_a_plugin_need_its_file(tmp_path):
    plain = tiny()
    data = msgspec.structs.replace(plain.data, fingerprint="d" * 16)
    config = msgspec.structs.replace(plain, plugin="0" * 16, data=data)
    results.prepare(tmp_path)
    record = results.Record(
        run=config.id,
        study="s",
        labels=labels(config, config.seed),
        status="failed",
        config=msgspec.to_builtins(config),
        protocol=PROTOCOL,
    )
    results.write(tmp_path, record)
    with pytest.raises(InputError, match="must be given by --plugin"):
        submit(tmp_path, tmp_path / "a.zip")


def test_the_texts_of_plugins_come_with_what_they_import(tmp_path):
    (tmp_path / "helpers_of_mine.py").write_text("x = 1\n")
    (tmp_path / "mine.py").write_text("import helpers_of_mine\n")
    assert _sources([str(tmp_path / "mine.py")]) == {
        "mine.py": b"import helpers_of_mine\n",
        "helpers_of_mine.py": b"x = 1\n",
    }
