"""The page on training is true: its study is trained, and its tables have every option."""

import re

from tests.support import ROOT
from vaebench.config import TrainConfig
from vaebench.config.study import expand, read
from vaebench.models import MODELS

PAGE = (ROOT / "docs/training.md").read_text()


def test_its_study_can_be_run(tmp_path):
    path = tmp_path / "study.toml"
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.S)
    path.write_text(text)
    configs = expand(read(path))
    assert len({config.id for config in configs}) == len(configs) > 1
    assert all(name in text for name in MODELS["mlp"].hyper)


def test_its_tables_have_every_option_of_the_mlp_and_of_the_descent():
    rows = re.findall(r"^\| (`.*?`) \|", PAGE, flags=re.MULTILINE)
    names = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    of_steps = {"num_steps", "batch_size", "precision"}
    assert {"widths", *MODELS["mlp"].hyper} <= names
    assert {*TrainConfig.__struct_fields__} - of_steps <= names
