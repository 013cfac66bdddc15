"""The command line: parse, call one function, print.

Exit status: 0 done, 1 some runs failed (and are recorded) or are worse than those they are compared
with, 2 wrong usage or input, 130, 143 or 129 stopped by SIGINT, SIGTERM or SIGHUP. Heavy imports
stay inside the commands, so that --help is immediate.
"""

from vaebench.cli import (
    comparing,
    completion,
    explaining,
    folders,
    grades,
    leagues,
    machine,
    measuring,
    new,
    registry,
    reporting,
    reproducing,
    studies,
    sweeps,
)
from vaebench.cli.group import main

__all__ = [
    "comparing",
    "completion",
    "explaining",
    "folders",
    "grades",
    "leagues",
    "machine",
    "main",
    "measuring",
    "new",
    "registry",
    "reporting",
    "reproducing",
    "studies",
    "sweeps",
]
