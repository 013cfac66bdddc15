"""What is no plain JSON, as it is printed."""

import json
import os
from pathlib import Path

from vaebench.cli.as_json import print_json


def test_a_path_of_any_bytes_is_a_text(capsys):
    paths = [Path(os.fsdecode(name)) for name in (b"o\xff", "\u00fc.zip".encode())]
    print_json(files=paths)
    assert json.loads(capsys.readouterr().out)["files"] == ["o\\udcff", "\u00fc.zip"]
