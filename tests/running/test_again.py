"""Recorded runs that are done again."""

from types import SimpleNamespace

import pytest

from vaebench import results
from vaebench.running import again


@pytest.mark.parametrize(
    ("operations", "compiles"),
    [
        ({"training step": "eager"}, "never"),
        ({"training step": "compiled, eager: no compiler"}, "never"),
        ({"training step": "compiled"}, "always"),
        ({}, "auto"),
    ],
)
def test_in_another_folder_steps_are_taken_as_they_were(
    operations, compiles, tmp_path, monkeypatch
):
    """In the same one its records say so; compiled and eager steps round otherwise."""
    record = SimpleNamespace(run="a", study="s", operations=operations)
    asked = []

    def run_all(configs, out, study, *, compiles, **how):
        asked.append(compiles)
        return {"a": "done"}

    monkeypatch.setattr(results, "read", lambda folder, run: record)
    monkeypatch.setattr(again, "_same", lambda record: record)
    monkeypatch.setattr(again, "run_all", run_all)
    assert again.retry(tmp_path, ["a"], tmp_path / "other") == {"a": "done"}
    again.retry(tmp_path, ["a"], tmp_path)
    assert asked == [compiles, "auto"]
