"""Everything that a report says, as one HTML file that opens from disk, without a network.

templates/   what the page looks like: HTML, style and scripts of its own
html.py      how templates become a page that loads nothing, for other pages too
answer.py    which variant is best, and how sure that is, in words
rankings.py  the tables
points.py    the rounded numbers that charts show, once for all of them
companions.py those of what other commands left in the folder
charts/      the charts that show them
pictures.py  which runs are seen, and in which galleries
sheets.py    how what is seen of a run is drawn
provenance.py what was run, where and on what
"""

from vaebench.report.page.render import render

__all__ = ["render"]
