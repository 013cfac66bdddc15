"""What is refused before anything is trained."""

import numpy as np
import pytest

import vaebench as vb
from tests.support.runs import tiny
from vaebench import results
from vaebench.config.resolve import resolve
from vaebench.core.errors import InputError, InputWarning
from vaebench.running.checks import check_folder
from vaebench.running.job import Job
from vaebench.running.recording import failures


@pytest.mark.slow
def test_runs_of_another_version_are_not_joined(study, tmp_path, monkeypatch):
    """Their table would have two runs of one seed, of which one was drawn by other rules."""
    monkeypatch.setattr("vaebench.config.run_config.PROTOCOL", 0)
    vb.run(study(), tmp_path, executor="inline", timings=False)
    before = results.recorded(tmp_path)
    monkeypatch.undo()
    with pytest.raises(
        InputError, match=rf"{len(before)} of this study, as [0-9a-f]{{16}}, are of"
    ):
        vb.run(study(), tmp_path, executor="inline", timings=False)
    assert results.recorded(tmp_path) == before


def test_runs_on_other_contents_of_the_data_are_said_to_be_others(tmp_path, tiny_npz):
    config, out = tiny(tiny_npz), tmp_path / "out"
    (before,) = resolve([config])
    results.prepare(out)
    results.write(out, next(failures(Job((before,), "s"), "")).record)
    images = (np.random.default_rng(1).random((56, 4, 4)) < 0.4).astype(np.uint8)
    np.savez(tiny_npz, x_train=images[:40], x_test=images[40:])
    (after,) = resolve([config])
    assert before.id != after.id
    said = rf"1 runs of this study, as {before.id}, on other contents of .*tiny.npz': runs on"
    with pytest.warns(InputWarning, match=said):
        check_folder([after], out)
    check_folder([before], out)


def test_workers_executors_and_cache_are_checked(study, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="workers must be a whole number of at least 1"):
        vb.run(study(), tmp_path / "out", workers=0)
    with pytest.raises(InputError, match="did you mean 'local'"):
        vb.run(study(), tmp_path / "out", executor="locla")
    monkeypatch.setenv("VAEBENCH_CACHE_MB", "lots")
    with pytest.raises(InputError, match="VAEBENCH_CACHE_MB must be a whole number of megabytes"):
        vb.run(study(), tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.json"))


def test_an_objective_of_the_calling_script_is_sent_to_a_file(study, tmp_path):
    from vaebench.objectives import OBJECTIVES, objective

    try:

        @objective(source="this test", bound="none")
        def local_elbo(t):
            return t.distortion

        path = study()
        path.write_text(path.read_text().replace('"elbo"', '"local_elbo"'))
        with pytest.raises(InputError, match=r"plugins=\[...\], or use executor='inline'"):
            vb.run(path, tmp_path / "out")
    finally:
        OBJECTIVES._entries.pop("local_elbo", None)


def test_a_schedule_of_the_calling_script_is_sent_to_a_file(study, tmp_path):
    from vaebench.config.schedules import SCHEDULES

    path = study()
    text = path.read_text().replace("[base]", '[base]\nrate_weight = "local_schedule"', 1)
    path.write_text(text)
    try:

        @vb.schedule(source="this test")
        def local_schedule(progress):
            return 1.0

        with pytest.raises(InputError, match="workers cannot see 'local_schedule'"):
            vb.run(path, tmp_path / "out")
    finally:
        SCHEDULES._entries.pop("local_schedule", None)
