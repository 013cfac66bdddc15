"""The page of a league: the rankings of the report, over submissions.

render.py    what the page says, from standings
templates/   what it looks like, beside the report's own
"""

from vaebench.league.page.render import write_page

__all__ = ["write_page"]
