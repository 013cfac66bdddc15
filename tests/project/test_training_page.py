"""The page on training is true: its study is trained, and its tables have every option."""

import re

from tests.support import ROOT
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


def test_its_table_has_every_option_of_the_mlp():
    names = re.findall(r"^\| `(\w+)` \|", PAGE, flags=re.MULTILINE)
    assert {"widths", *MODELS["mlp"].hyper} <= {*names}
