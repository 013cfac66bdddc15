"""Where a step's time goes: the table of names, what is taken off, what medians add up to."""

import pandas as pd
import pytest
import torch

from benchmarks.steps import measured
from benchmarks.steps.parts import (
    ACTIVATIONS,
    ADAM,
    LATENT,
    LIKELIHOOD,
    MINIBATCH,
    PARTS,
    PRODUCTS,
    REST,
    Window,
    markdown,
    part_of,
    parts_s,
    summarise,
)
from benchmarks.steps.profiles import figure
from tests.support.graphs import OF_COMPILING, needs_compiler
from vaebench.ops import c
from vaebench.ops.c.adam import MoveInC
from vaebench.training import descent as optimise
from vaebench.training import loop as train

BACKWARD = "autograd::engine::evaluate_function: BaddbmmBackward0 | BaddbmmBackward0"


@pytest.mark.parametrize(
    "chain, part",
    [
        ("aten::baddbmm", PRODUCTS),
        ("aten::baddbmm | aten::copy_", ACTIVATIONS),
        (f"{BACKWARD} | aten::bmm", PRODUCTS),
        (f"{BACKWARD} | aten::sum", ACTIVATIONS),
        (BACKWARD, REST),
        ("_Bernoulli", LIKELIHOOD),
        ("aten::binary_cross_entropy_with_logits | aten::fill_", LIKELIHOOD),
        ("block in C | graph_0_cpp_fused_abs_add_exp_mul_sigmoid_sub_sum_2", LIKELIHOOD),
        ("block in C | graph_0_cpp_fused_add_relu_0", ACTIVATIONS),
        ("block in C | aoti_torch_cpu_product", PRODUCTS),
        ("block in C", ADAM),
        ("_ReparameteriseKL", LATENT),
        ("noise", LATENT),
        ("minibatch | aten::sort", MINIBATCH),
        ("aten::index_select", MINIBATCH),
        ("optimiser | aten::_fused_adamw_", ADAM),
        ("optimiser | Adam in C", ADAM),
        ("optimiser", REST),
        ("aten::slice | aten::as_strided", REST),
    ],
)
def test_part_of(chain, part):
    assert part_of(chain) == part


def test_parts_lose_what_the_profiler_adds_and_scale_to_the_plain_time():
    chains = {"aten::bmm": [100e6, 0], "minibatch": [60e6, 10], "aten::view": [40e6, 0]}
    window = Window(cpu_s=210.0, wall_s=210.0, num_events=10, chains=chains)
    computed = parts_s(window, plain_s=100.0, event_s=1.0)
    assert computed[PRODUCTS] == pytest.approx(50.0)
    assert computed[MINIBATCH] == pytest.approx(25.0)
    assert sum(computed.values()) < 100.0


def rows():
    keys = {"size": "1-2-3, B=4", "images": "noise", "runs": 2}
    return pd.DataFrame(
        {**keys, "variant": variant, "total_ms": total, "wall_ms": total}
        | {f"{part}_ms": total / 10 for part in PARTS}
        for total in (1.0, 9.0, 2.0)
        for variant in ("before", "eager")
    )


def test_parts_and_rest_make_up_the_median_total():
    table = summarise(rows())
    assert table["variant"].to_list() == ["before", "eager"]
    assert table["total_ms"].to_list() == [2.0, 2.0]
    assert table[[*PARTS, REST]].sum(axis=1).to_list() == pytest.approx([2.0, 2.0])


def test_page_and_figure_show_each_variant():
    table = summarise(rows())
    assert "| before " in markdown(table)
    assert len(figure(table).axes[0].texts) == len(table)


@pytest.mark.slow
@pytest.mark.parametrize(
    "compiled", [False, pytest.param(True, marks=[needs_compiler, *OF_COMPILING])]
)
def test_measured_loop_has_all_parts(compiled, monkeypatch):
    """Against the loop as it is now: a part that is never seen has lost its name."""
    holders = [(train, "batches"), (optimise.StackAdam, "step"), (MoveInC, "__call__")]
    holders += measured.noise_makers()
    if c.library():
        holders.append((c.functions(), "vaebench_block"))
    for holder, name in holders:
        monkeypatch.setattr(holder, name, getattr(holder, name))
    measured.mark_work()
    case = {"data": "digits", "latent": 2, "hidden": 4, "batch": 64, "runs": 2}
    monkeypatch.setenv("TORCHINDUCTOR_CPP_ENABLE_KERNEL_PROFILE", "0")  # both are put back
    with torch._inductor.config.patch({"cpp.enable_kernel_profile": False}):
        loop = measured.new_loop(case | {"compiled": compiled})
        window = Window(**measured.profiled(loop, 18))
    assert all(seconds > 0.0 for seconds in parts_s(window, window.cpu_s, 0.0).values())
