"""How long the page of 2,000 synthetic runs takes, and how large it is.

`python -m benchmarks.folder.page` writes the records with examples and pictures of random dots
to a folder that it removes, makes the page, and exits with status 1 where it takes longer or is
larger than MOST_S and MOST_BYTES.
"""

from __future__ import annotations

import io
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.folder.synthetic import records, write
from vaebench import results
from vaebench.report import write_report

NUM_RUNS, MOST_S, MOST_BYTES = 2000, 30.0, 6_000_000
SIDE = 97
"""Pixels along a side of an image of dots: about as many bytes as one of 64 digits."""


def main() -> None:
    """Print the seconds and the bytes of the page."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, NUM_RUNS, with_examples=True)
        generator = np.random.default_rng(0)
        for record in records(NUM_RUNS):
            results.write_part(folder, "samples", record.run, _dots(generator))
            results.write_part(folder, "exhibits", record.run, _exhibits(generator))
        start = time.perf_counter()
        _, (page,) = write_report(folder, folder / "report", formats=["html"])
        seconds, size = time.perf_counter() - start, page.stat().st_size
    print(f"the page of {NUM_RUNS} runs: {seconds:.1f} s, {size:,} bytes")
    if seconds > MOST_S or size > MOST_BYTES:
        sys.exit(1)


def _dots(generator: np.random.Generator) -> bytes:
    buffer = io.BytesIO()
    dots = generator.integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    Image.fromarray(dots).save(buffer, format="png")
    return buffer.getvalue()


def _exhibits(generator: np.random.Generator) -> bytes:
    """Reconstructions and traversals of digits, as dots."""
    shapes = {"reconstructions": (2, 10, 8, 8, 1), "traversals": (8, 7, 8, 8, 1)}
    names = {"reconstructions": ("original", "reconstruction")}
    return results.pack_exhibits(
        [
            results.Exhibit(
                results.About(name=name, caption="-", form="images", row_names=names.get(name, ())),
                generator.integers(0, 256, shape, dtype=np.uint8),
            )
            for name, shape in shapes.items()
        ]
    )


if __name__ == "__main__":
    main()
