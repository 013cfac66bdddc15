"""A league that others can join: bundles of results, and one page over all of them.

manifest.py    what a bundle says of itself, and what its members may be called
packing.py     a results folder as a bundle: one file, the same bytes for the same folder
opening.py     a bundle of a stranger as a results folder, once all of it has been checked
submission.py  what was opened, and whether its records follow from their configurations
again.py       grading it again here, from its weights
entered.py     the records of all submissions, in divisions within which they can be compared
standings.py   a line for each variant of each submission, ranked
page/          the page
hold.py        all of this, from bundles to the page

A bundle is data: nothing in it is run, but its plugins where the user says that they are trusted.
"""

from vaebench.league.again import graded_again
from vaebench.league.hold import League, Regrading, hold
from vaebench.league.opening import opened
from vaebench.league.packing import submit
from vaebench.league.submission import RefusedError, Submission

__all__ = [
    "League",
    "RefusedError",
    "Regrading",
    "Submission",
    "graded_again",
    "hold",
    "opened",
    "submit",
]
