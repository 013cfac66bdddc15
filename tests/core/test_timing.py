"""A fixed number of threads, for as long as a context lasts."""

import pytest
import torch

from vaebench.core.timing import synchronise, threads


@pytest.mark.parametrize("fails", [False, True])
def test_the_number_of_threads_is_put_back(fails):
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError) if fails else threads(before), threads(before + 1):
        assert torch.get_num_threads() == before + 1
        _ = 1 / (not fails)
    assert torch.get_num_threads() == before


def test_a_cpu_has_nothing_to_wait_for():
    synchronise(torch.device("cpu"))
