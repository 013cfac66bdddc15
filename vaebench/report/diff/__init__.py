"""Two results folders -> how each variant differs between them, as before and after a change."""

from vaebench.report.diff.differences import Differences, differences
from vaebench.report.diff.words import in_words, parts

__all__ = ["Differences", "differences", "in_words", "parts"]
