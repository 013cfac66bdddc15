"""When Python's garbage collector is paused, and that it goes on afterwards."""

import gc

import pytest

from vaebench.core.collector import paused


def test_it_is_paused_within_the_context_alone():
    assert gc.isenabled()
    with pytest.raises(KeyError), paused():
        assert not gc.isenabled()
        raise KeyError
    assert gc.isenabled()


def test_one_that_a_user_has_disabled_stays_so():
    gc.disable()
    try:
        with paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
