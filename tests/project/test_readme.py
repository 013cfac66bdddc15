"""The README is true: its table is the committed one in brief, and what it tells to write works."""

import re

import pytest
import torch

from benchmarks.update_readme import REFERENCE, brief_table, with_table
from tests.support import ROOT
from vaebench.config.study import expand, read
from vaebench.models import MODELS
from vaebench.models.networks import Sizes

README = (ROOT / "README.md").read_text()


def block(language: str, containing: str) -> str:
    computed = re.findall(rf"```{language}\n(.*?)```", README, flags=re.S)
    return next(text for text in computed if containing in text)


def test_the_table_is_the_committed_one_in_brief():
    brief = brief_table(ROOT / REFERENCE)
    assert with_table(README, brief) == README
    wide = (ROOT / REFERENCE / "table.md").read_text()
    lines = [line for line in brief.splitlines() if line.startswith("|")]
    assert all(line.count("|") == 1 + 7 for line in lines)
    cells = {cell.strip() for line in lines for cell in line.split("|") if "---" not in cell}
    assert all(cell in wide for cell in cells)


def test_every_link_leads_to_a_file():
    links = re.findall(r"\]\((.*?)\)", README)
    assert any(link.endswith(".png") for link in links)
    assert [link for link in links if not (ROOT / link).is_file()] == []


def test_the_study_can_be_run(tmp_path, tiny_npz):
    path = tmp_path / "mine.toml"
    path.write_text(block("toml", "mine"))
    sized = [f"base.data.name={tiny_npz}", "base.train.batch_size=8"]
    assert len(expand(read(path, sized))) == 20


def test_a_model_trained_elsewhere_gets_figures():
    torch.manual_seed(0)
    encoder, decoder = torch.nn.Linear(64, 4), torch.nn.Linear(2, 64)
    names = {"encode": lambda x: encoder(x).chunk(2, -1), "decode": decoder}
    exec(block("python", "vb.evaluate"), names)
    assert {"nll", "elbo", "frechet"} <= set(names["rows"]["metric"])


@pytest.mark.slow
def test_a_study_is_run_and_read_from_python(tmp_path, tiny_npz, monkeypatch):
    """With a few steps: the study of the README, its data, and what is read back."""
    monkeypatch.chdir(tmp_path)
    study = block("toml", "mine").replace("path/to/mine.npz", str(tiny_npz))
    study = study.replace("[0, 1, 2, 3, 4]", "[0]").replace("5000", "2")
    (tmp_path / "mine.toml").write_text(study.replace("batch_size = 128", "batch_size = 8"))
    names = {}
    code = block("python", "vb.run(")
    exec(code.replace("out=", 'executor="inline", timings=False, out='), names)
    assert set(names["rows"]["objective"]) == {"elbo", "beta_elbo", "iwae"}
    assert "train.learning_rate" in names["rows"]


def test_its_objective_is_that_of_the_page_that_is_certified():
    """tests/project/test_own_objective.py certifies it."""
    _, _, objective = block("python", "@vb.objective").partition("@vb.objective")
    assert objective in (ROOT / "docs" / "own-objective.md").read_text()


def test_its_network_takes_images_and_codes():
    try:
        exec(block("python", "@vb.model"), {})
        sizes = Sizes((8, 8), posterior=6, code=3, outputs_per_pixel=2)
        encoder, decoder = MODELS["mine"].networks(sizes, width=16)
    finally:
        MODELS._entries.pop("mine", None)
    assert encoder(torch.zeros(5, *sizes.shape)).shape == (5, sizes.posterior)
    assert decoder(torch.zeros(5, sizes.code)).shape == (5, sizes.out)
