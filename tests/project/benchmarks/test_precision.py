"""The ablation of precision: its differences, its speed-up, and what it says of the CPU."""

import pandas as pd
import pytest

from benchmarks.precision.compare import instructions, page, summarise


@pytest.fixture
def table():
    keys = {"size": "1-2-3, B=4", "step": "eager"}
    times = pd.DataFrame(
        {**keys, "precision": precision, "round": index, "ms": ms * (1 + index)}
        for precision, ms in (("float32", 3.0), ("bfloat16", 2.0))
        for index in range(3)
    )
    grades = pd.DataFrame(
        {**keys, "precision": precision, "seed": seed, "elbo": lost - seed, "nll": seed - lost}
        for precision, lost in (("float32", 0.0), ("bfloat16", -0.25))
        for seed in range(4)
    )
    return summarise(times, grades)


def test_bfloat16_is_compared_with_float32(table):
    assert table["precision"].to_list() == ["float32", "bfloat16"]
    assert table["speed-up"].to_list() == ["1.00", "1.50"]


def test_differences_are_paired_by_seed(table):
    assert table["ELBO difference [95%]"].to_list() == ["", "-0.250 [-0.250, -0.250]"]
    assert table["NLL difference [95%]"].to_list() == ["", "+0.250 [+0.250, +0.250]"]


def test_page_says_what_was_skipped(table):
    text = page(table, ["large was skipped"], {"torch": "2"})
    assert "large was skipped" in text
    assert "torch 2" in text


@pytest.mark.parametrize(
    "cpuinfo, computed",
    [
        ("flags\t: fpu amx_bf16 avx512_bf16", "amx_bf16, avx512_bf16"),
        ("flags\t: fpu avx2", "none"),
        ("Features\t: asimd bf16", "bf16"),
        ("", "unknown"),
    ],
)
def test_instructions(cpuinfo, computed):
    assert instructions(cpuinfo) == computed
