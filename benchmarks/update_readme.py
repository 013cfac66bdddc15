"""Put the reference table into the README, between its markers: `nox -s reference` calls this."""

from __future__ import annotations

from pathlib import Path

START, END = "<!-- table: start -->", "<!-- table: end -->"


def with_table(readme: str, table: str) -> str:
    """The README with the table between its markers replaced."""
    before, _, rest = readme.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n\n{table.strip()}\n\n{END}{after}"


if __name__ == "__main__":
    readme, table = Path("README.md"), Path("results/reference/digits/table.md")
    readme.write_text(with_table(readme.read_text(), table.read_text()))
