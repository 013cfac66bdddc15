"""Claims that measure gradients: kept by what was measured, and not measured again."""

import pytest

from vaebench.core.errors import InputError
from vaebench.reproduction import Verdict, read_claim, reproduce
from vaebench.reproduction.attempt import _on_the_hub

CLAIM = """
title = "t"
source = "s"
[study.base]
objective = "iwae"
likelihood = "bernoulli"
data = { name = "digits", binarisation = "dynamic" }
model = { latent_dim = 2, widths = [4] }
train = { num_steps = 2, batch_size = 4 }
[full]
gradients = { samples = [1, 2, 4], replicas = 32, at = [2], seeds = [0, 1] }
[[full.statements]]
kind = "slope"
says = "slope"
metric = "variance"
objective = "iwae"
side = "decoder"
published = -1.0
tolerance = 0.1
because = "of so few"
"""


@pytest.fixture
def claim(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(CLAIM)
    return path


def measured(folder):
    return sorted(path.name for path in folder.glob("gradients-*.json"))


def power_law(plan, on_gradients):
    """Rows as a measurement gives them, of a variance that falls as 1/K."""
    row = {"objective": "iwae", "side": "decoder", "metric": "variance"}
    return [row | {"num_samples": k, "value": 1.0 / k} for k in plan.samples]


def test_gradients_are_measured_once_for_each_seed_and_setting(claim, tmp_path, monkeypatch):
    monkeypatch.setattr("vaebench.reproduction.attempt.measure", power_law)
    out = tmp_path / "out"
    first = reproduce(read_claim(str(claim)), "full", out)
    files = measured(out)
    assert (first.verdict, len(files)) == (Verdict.REPRODUCED, 2)
    assert first.outcomes[0].values == pytest.approx({"0": -1.0, "1": -1.0})
    stamps = [(out / name).stat().st_mtime_ns for name in files]
    again = reproduce(read_claim(str(claim)), "full", out)
    assert again.outcomes == first.outcomes
    assert stamps == [(out / name).stat().st_mtime_ns for name in files]
    assert again.wall_s > first.wall_s > 0.0
    claim.write_text(CLAIM.replace("seeds = [0, 1]", "seeds = [1, 2]"))
    reproduce(read_claim(str(claim)), "full", out)
    assert len(measured(out)) == 3


def test_a_damaged_file_is_refused_by_name_before_anything_is_done(claim, tmp_path, monkeypatch):
    monkeypatch.setattr("vaebench.reproduction.attempt.measure", power_law)
    out = tmp_path / "out"
    reproduce(read_claim(str(claim)), "full", out)
    monkeypatch.setattr("vaebench.reproduction.attempt.measure", None)
    for name in (*measured(out), "spent.json"):
        kept = (out / name).read_bytes()
        for damaged in (b"", b"{", b"\xff\xfe"):
            (out / name).write_bytes(damaged)
            with pytest.raises(InputError, match=f"{name} must hold .* damaged: delete it"):
                reproduce(read_claim(str(claim)), "full", out)
        (out / name).write_bytes(kept)


def test_a_scale_that_a_claim_has_not_is_refused_before_anything_is_written(claim, tmp_path):
    with pytest.raises(InputError, match="has full alone"):
        reproduce(read_claim(str(claim)), "cpu", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_data_have_the_name_of_the_hub_where_they_are_its_own():
    names = {("sigma-vae", "full"): "ylecun/mnist", ("sigma-vae", "cpu"): ""}
    for (name, scale), expected in names.items():
        assert _on_the_hub(read_claim(name), scale) == expected
