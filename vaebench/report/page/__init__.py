"""Everything that a report says, as one HTML file that opens from disk, without a network.

templates/   what the page looks like: HTML, style and a script of its own
answer.py    which variant is best, and how sure that is, in words
rankings.py  the tables
points.py    the rounded numbers that charts show, once for all of them
charts.py    the charts that show them
pictures.py  images of the runs
provenance.py what was run, where and on what
"""

from vaebench.report.page.render import render

__all__ = ["render"]
