"""The native library: built once, kept, done without; and how exact its functions are."""

from __future__ import annotations

import ctypes
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.kills import background
from vaebench.core import cache
from vaebench.ops import c
from vaebench.ops.c import build
from vaebench.ops.c.declarations import structure

PROBLEM = c.problem()
needs_compiler = pytest.mark.skipif(bool(PROBLEM), reason=PROBLEM)

Floats = NDArray[np.float32]


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "vaebench" / "native"


@pytest.fixture
def afresh() -> Iterator[None]:
    """The library is looked for again, and afterwards once more."""
    c._loaded.cache_clear()
    yield
    c._loaded.cache_clear()


@needs_compiler
def test_a_library_is_built_once(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build.built()
    assert list(cache.sizes()) == [first]
    assert {path.name for path in empty_cache.iterdir()} == {first.name, cache.LOCKS}
    monkeypatch.setattr(build, "_compile", lambda *_: pytest.fail("compiled again"))
    assert build.built() == first


@needs_compiler
def test_other_flags_are_another_library(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build.built()
    monkeypatch.setattr(build, "FLAGS", [*build.FLAGS, "-DOTHER"])
    assert build.built() != first


@needs_compiler
def test_many_processes_may_build_at_once(empty_cache: Path) -> None:
    code = "from vaebench.ops import c; assert not c.problem(), c.problem()"
    command = [sys.executable, "-c", code]
    with ExitStack() as stack:
        runs = [stack.enter_context(background(command, stderr=subprocess.PIPE)) for _ in range(4)]
        errors = [run.communicate()[1] for run in runs]
    assert [run.returncode for run in runs] == [0] * 4, errors
    assert len(cache.sizes()) == 1


def no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    monkeypatch.setenv("CC", str(tmp_path / "no-such-compiler"))
    return "no-such-compiler"


def compiler_that_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    monkeypatch.setenv("CC", f"{sys.executable} -c 'raise SystemExit(\"out-of-order\")'")
    return "out-of-order"


def no_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    return "" if PROBLEM else "NotADirectoryError"


def switched_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    monkeypatch.setenv("VAEBENCH_NATIVE", "0")
    return "VAEBENCH_NATIVE=0"


@pytest.mark.parametrize("hindrance", [no_compiler, compiler_that_fails, no_room, switched_off])
def test_without_a_library_the_reason_is_said_once(
    hindrance: Callable[[pytest.MonkeyPatch, Path], str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    afresh: None,
) -> None:
    monkeypatch.delenv("VAEBENCH_NATIVE", raising=False)
    reason = hindrance(monkeypatch, tmp_path)
    with caplog.at_level(logging.WARNING, "vaebench.ops.c"):
        assert c.library() is None
        assert c.problem() and reason in c.problem()
    assert len(caplog.records) == 1 and reason in caplog.text


def test_nothing_is_built_at_import(empty_cache: Path) -> None:
    command = [sys.executable, "-c", "import vaebench.ops, vaebench.ops.noise"]
    subprocess.run(command, check=True)
    assert not empty_cache.exists()


PROBE = """
#include "float_math.h"
#define PROBE(name, value) \\
    void name(int64_t count, const float *in, float *out) { \\
        for (int64_t i = 0; i < count; i++) { float x = in[i]; out[i] = value; } \\
    }
PROBE(probe_exp, exp_float(x))
PROBE(probe_exp_below_1, exp_below_1(x))
PROBE(probe_exp_rest, exp_rest(x, exp_float(x)))
PROBE(probe_log, log_normal(x))
PROBE(probe_log1p, log1p_unit(x))
PROBE(probe_sine, sin_turns(x))
"""


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Floats], Floats]:
    """A function of float_math.h, at many points."""
    if PROBLEM:
        pytest.skip(PROBLEM)
    folder = tmp_path_factory.mktemp("probe")
    (folder / "probe.c").write_text(PROBE)
    compiler = os.environ.get("CC") or "cc"
    include = f"-I{Path(build.__file__).parent}"
    command = [*compiler.split(), *build.FLAGS, include, str(folder / "probe.c"), "-lm"]
    subprocess.run([*command, "-o", str(folder / "probe.so")], check=True)
    library = ctypes.CDLL(str(folder / "probe.so"))

    def call(name: str, x: Floats) -> Floats:
        out = np.empty_like(x)
        address = ctypes.c_void_p
        getattr(library, name)(
            ctypes.c_int64(x.size), address(x.ctypes.data), address(out.ctypes.data)
        )
        return out

    return call


EPSILON = float(np.finfo(np.float32).eps)


@pytest.mark.parametrize(
    ("name", "exact", "low", "high", "roundings"),
    [
        ("probe_exp", np.exp, -87.3, 88.7, 1.0),
        ("probe_exp_below_1", np.exp, -87.0, 0.0, 1.0),
        ("probe_exp_rest", lambda x: np.expm1(x) - x, -20.0, 20.0, 8.0),
        ("probe_log", np.log, 1e-7, 1.0, 1.5),
        ("probe_log", np.log, 1.0, 3e38, 1.5),
        ("probe_log1p", np.log1p, 0.0, 1.0, 2.0),
        ("probe_sine", lambda x: np.sin(2 * np.pi * x), -0.25, 0.25, 2.0),
    ],
)
def test_functions_are_exact_to_a_few_roundings(
    probe: Callable[[str, Floats], Floats],
    name: str,
    exact: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    low: float,
    high: float,
    roundings: float,
) -> None:
    x = np.linspace(low, high, 1_000_003).astype(np.float32)
    x = np.clip(x, np.float32(low), np.float32(high))
    want = exact(x.astype(np.float64))
    error = np.abs(probe(name, x) - want)
    assert (error <= roundings * EPSILON * np.abs(want) + 1e-45).all()


def test_exp_at_its_ends(probe: Callable[[str, Floats], Floats]) -> None:
    x = np.array([-np.inf, -1e9, -104.5, -95.0, 88.72, 88.73, 1e9, np.inf, np.nan], np.float32)
    with np.errstate(over="ignore"):
        want = np.exp(x.astype(np.float64)).astype(np.float32)
    np.testing.assert_allclose(probe("probe_exp", x), want, rtol=1e-6, atol=1.5e-45)
    assert np.isnan(probe("probe_exp_below_1", x[-1:])).all()
    assert (probe("probe_exp_below_1", x[:3]) < 2e-38).all()


@pytest.mark.skipif(bool(PROBLEM), reason=PROBLEM)
@pytest.mark.parametrize("name", ["Images", "Input", "Parameter", "Work"])
def test_structures_have_the_sizes_and_offsets_of_the_compiler(name, tmp_path):
    """Python reads them from the text of the sources; the compiler is asked what it makes of it."""
    ours = structure(name)
    fields = [field for field, _ in ours._fields_]
    offsets = "".join(f'printf("%zu ", offsetof({name}, {field}));' for field in fields)
    source = Path(build.__file__).with_name("block.c")
    program = tmp_path / "layout.c"
    program.write_text(
        f'#include <stddef.h>\n#include <stdio.h>\n#include "{source}"\n'
        f'int main(void) {{ {offsets} printf("%zu", sizeof({name})); }}\n'
    )
    others = [str(p) for p in build.SOURCES if p.suffix == ".c" and p != source]
    command = [*build.chosen_compiler(), *build.FLAGS, str(program), *others, "-lm"]
    command.remove("-shared")
    subprocess.run([*command, "-o", str(tmp_path / "layout")], check=True)
    numbers = subprocess.check_output([tmp_path / "layout"], text=True).split()
    assert [int(n) for n in numbers[:-1]] == [getattr(ours, field).offset for field in fields]
    assert int(numbers[-1]) == ctypes.sizeof(ours)
