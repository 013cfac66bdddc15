"""Screenshots of a report: `python docs/draw_page.py FOLDER` makes docs/page/.

Needs chromium, and playwright (the dependency group `test`).
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

WIDTHS = {"phone": (380, 800), "desk": (1400, 1000)}
SHOTS = (
    ("answer", "desk", "light"),
    ("charts", "desk", "dark"),
    ("images", "desk", "light"),
    ("rankings", "phone", "light"),
    ("charts", "phone", "dark"),
    ("images", "phone", "dark"),
)
"""Sections of the page, with the width and the colours that they are shown in."""


def main(report: Path, out: Path) -> None:
    """Open the page, and take a picture of each of SHOTS."""
    out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for section, width, scheme in SHOTS:
            columns, rows = WIDTHS[width]
            page = browser.new_page(
                viewport={"width": columns, "height": rows},
                color_scheme=scheme,
                reduced_motion="reduce",
            )
            page.goto(report.resolve().as_uri())
            for _ in range(2):  # charts are drawn when they come near, and move what is below
                page.locator(f"#{section}").evaluate("(section) => section.scrollIntoView()")
                page.wait_for_timeout(1500)
            page.screenshot(path=out / f"{section}-{width}-{scheme}.png")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) / "report" / "report.html", Path(__file__).parent / "page")
