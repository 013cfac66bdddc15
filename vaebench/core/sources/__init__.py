"""Files of the user's own: how they load, which others each imports, and fingerprints of them."""

from vaebench.core.sources.files import (
    check_unchanged,
    files_of,
    fingerprint,
    load_anew,
    load_file,
    names,
    remember,
)

__all__ = [
    "check_unchanged",
    "files_of",
    "fingerprint",
    "load_anew",
    "load_file",
    "names",
    "remember",
]
