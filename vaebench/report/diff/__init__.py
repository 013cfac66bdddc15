"""Two results folders -> how each variant differs between them, as before and after a change."""

from vaebench.report.diff.differences import Differences, differences
from vaebench.report.diff.words import as_json, in_words

__all__ = ["Differences", "as_json", "differences", "in_words"]
