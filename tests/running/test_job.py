"""A job is divided into smaller ones that keep its runs and their order."""

import pytest

from tests.support.runs import tiny
from vaebench.config.resolve import resolve
from vaebench.running.job import Job, divided


@pytest.mark.parametrize(("size", "sizes"), [(1, [1, 1, 1, 1]), (2, [2, 2]), (3, [2, 2]), (9, [4])])
def test_a_job_is_divided_into_parts_of_nearly_equal_size(tiny_npz, size, sizes):
    job = Job(tuple(resolve([tiny(tiny_npz, seed=seed) for seed in range(4)])), "s")
    parts = divided(job, size)
    assert [len(part.configs) for part in parts] == sizes
    assert tuple(config for part in parts for config in part.configs) == job.configs
