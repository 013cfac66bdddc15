"""What people call an observation space: made from the values of a run's configuration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

OBSERVED = {
    "none": "as stored",
    "dynamic": "binarised anew each epoch",
    "threshold": "binarised at a threshold",
    "static": "binarised once",
}
"""How stored values become observations, in words, by the name of the binarisation."""
MEASURES = {"mass": "probabilities", "density": "densities"}
TITLE, SPACE = "title", "observation_space"
"""Columns: what people call an observation space, and the word that records have for it."""


def titles(configs: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Name observation spaces for people, given the configuration of a run of each.

    As "Digits, binarised anew each epoch; probabilities, nats". Names that would be alike say more:
    the samples of the NLL, the split, and at last the recorded word. That is also the name of a
    space whose runs have no configuration.
    """
    longest = max((len(_details(space, config)) for space, config in configs.items()), default=0)
    chosen = {space: _title(config, ()) or space for space, config in configs.items()}
    for num in range(1, longest + 1):
        alike = Counter(chosen.values())
        chosen |= {
            space: _title(config, _details(space, config)[:num]) or space
            for space, config in configs.items()
            if alike[chosen[space]] > 1
        }
    return chosen


def _title(config: Mapping[str, Any], details: tuple[str, ...]) -> str:
    """The name with some of the details; "" where the configuration does not say."""
    data = config.get("data")
    if not isinstance(data, Mapping) or "name" not in data:
        return ""
    label = Path(str(data["name"])).stem.replace("_", " ")
    binarisation = str(data.get("binarisation", "none"))
    observed = "dequantised" if data.get("dequantise") else OBSERVED.get(binarisation, binarisation)
    measure = _measure(config)
    unit = f"{measure}, nats" if measure else "nats"
    return "; ".join((f"{label[:1].upper()}{label[1:]}, {observed}", unit, *details))


def _details(space: str, config: Mapping[str, Any]) -> tuple[str, ...]:
    """What else tells spaces apart, in the order in which it is said."""
    data, evaluate = config.get("data") or {}, config.get("evaluate") or {}
    fraction = data.get("valid_fraction")
    split = f"split {data.get('split_seed', 0)}"
    return (
        f"K = {evaluate.get('num_samples')}",
        split if fraction is None else f"{split}, {fraction:g} to validate on",
        space,
    )


def _measure(config: Mapping[str, Any]) -> str:
    """Whether the NLL is of probabilities or of densities; "" for a likelihood that is not known
    here, as one of a plugin."""
    from vaebench.models.likelihoods import LIKELIHOODS

    if config["data"].get("dequantise"):
        return MEASURES["mass"]
    name = str((config.get("likelihood") or {}).get("name"))
    return MEASURES[LIKELIHOODS[name].measure] if name in LIKELIHOODS else ""
