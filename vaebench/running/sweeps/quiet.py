"""Optuna without its warnings."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import optuna
from optuna.exceptions import ExperimentalWarning


@contextmanager
def quiet() -> Iterator[None]:
    """Without Optuna's warnings of what is experimental, that lost trials are infinite, and, in its
    log, that figures lack panels."""
    verbosity = optuna.logging.get_verbosity()
    if is_loud := verbosity < optuna.logging.ERROR:  # setting it empties caches of all loggers
        optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            warnings.filterwarnings("ignore", category=UserWarning, module="optuna")
            yield
    finally:
        if is_loud:
            optuna.logging.set_verbosity(verbosity)
