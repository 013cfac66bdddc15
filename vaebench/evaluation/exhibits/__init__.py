"""What of trained runs is kept to look at, beside the figures.

A module in this folder registers its exhibits by being here.
"""

from vaebench.core.registry import discover
from vaebench.evaluation.exhibits.entry import EXHIBITS, Exhibit, Form, Shown, exhibit, exhibited

discover(__name__, __path__)

__all__ = ["EXHIBITS", "Exhibit", "Form", "Shown", "exhibit", "exhibited"]
