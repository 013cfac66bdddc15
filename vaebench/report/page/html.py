"""What every page is made by: templates that escape all texts, and a policy without a network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from vaebench.core.shown import plain

HERE, TEMPLATES = "vaebench.report.page", "templates"


def environment(*others: str) -> Environment:
    """The templates of the report's page, and of other packages that have pages of their own.

    Every text is escaped, and what cannot be seen is written as its number.
    """
    return Environment(
        loader=ChoiceLoader([PackageLoader(package, TEMPLATES) for package in (*others, HERE)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: plain(value) if type(value) is str else value,
    )


def template(name: str) -> str:
    """The text of a file beside the templates: style, or a script."""
    return files(HERE).joinpath(TEMPLATES, name).read_text("utf-8")


def policy(scripts: Sequence[str]) -> str:
    """A Content-Security-Policy without a network: these scripts may run, and no other."""
    hashes = (base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts)
    allowed = " ".join(f"'sha256-{one}'" for one in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
