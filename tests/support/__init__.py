"""What tests share: helpers, and where files lie."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The checkout."""

SHARED_DATA = Path(os.environ.get("VAEBENCH_DATA", ROOT.parent / "shared" / "data"))
"""Where data sets lie that are too large for the checkout."""
