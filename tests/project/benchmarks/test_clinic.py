"""A short form of `nox -s clinic`: three spoiled runs that show it after a few hundred steps."""

import dataclasses

import pytest

import vaebench as vb
from benchmarks.clinic.__main__ import names_of
from benchmarks.clinic.faults import BASE, faults
from vaebench import results
from vaebench.config.resolve import resolve

CHOSEN = {
    "a mean over 64 pixels for a sum",
    "a learning rate of 1000",
    "80 training steps",
}
SHORT = {"num_samples": 20, "num_images": 50, "gradings": ["likelihood", "latent"]}


@pytest.mark.slow
def test_the_clinic_names_what_runs_were_spoiled_by(tmp_path):
    every = [fault for fault in faults(tmp_path) if fault.what in CHOSEN]
    assert len(every) == len(CHOSEN)
    short = [
        dataclasses.replace(
            fault,
            changes={
                **fault.changes,
                "train": {"num_steps": 300} | dict(fault.changes.get("train", {})),
                "evaluate": SHORT,
            },
        )
        for fault in every
    ]
    runs = resolve([fault.config(seed=2) for fault in short])
    vb.run(runs, out=tmp_path / "runs", timings=False, workers=1)
    for fault, config in zip(short, runs, strict=True):
        record = results.read(tmp_path / "runs", config.id)
        assert fault.name in names_of(tmp_path / "runs", record), fault.what


def test_a_fault_changes_the_base_and_nothing_else(tmp_path):
    every = faults(tmp_path)
    assert len({fault.what for fault in every}) == len(every) == 12
    assert len({fault.config(seed=0).id for fault in every}) == 12
    assert BASE["train"] == {"num_steps": 2000}
