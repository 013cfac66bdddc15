"""Which files count as the user's own."""

import random
from pathlib import Path

import pytest

import vaebench
from vaebench.core.sources.modules import is_users_file

PACKAGE = Path(vaebench.__file__).parent


@pytest.mark.parametrize("file", [*PACKAGE.glob("*.py"), *PACKAGE.glob("*/__init__.py")])
def test_no_file_of_this_suite_is_the_users(file):
    assert not is_users_file(file)


def test_neither_are_installed_files_but_others_are(tmp_path):
    assert not is_users_file(Path(random.__file__))
    assert not is_users_file(Path(pytest.__file__))
    assert is_users_file(tmp_path / "mine.py")
