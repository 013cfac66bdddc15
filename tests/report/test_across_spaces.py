"""Variants over several observation spaces: means and ranks."""

import numpy as np
import pandas as pd

from vaebench.report.across_spaces import interquartile_means, ranks_over_blocks


def rows_of(values):
    """Rows of NLL: {space: {variant: values by seed}}."""
    rows = [
        (space, "bernoulli", variant, "a=1", seed, "nll", value)
        for space, variants in values.items()
        for variant, by_seed in variants.items()
        for seed, value in enumerate(by_seed)
    ]
    names = ["observation_space", "likelihood", "variant", "settings", "seed", "metric", "value"]
    return pd.DataFrame(rows, columns=names)


def test_spaces_are_put_together_by_what_is_left_to_their_best():
    """100 nats in one space and -40 in another are no average; 1 and 3 behind the best are."""
    rows = rows_of(
        {
            "mass": {"a": [100.0] * 4, "b": [101.0] * 4},
            "density": {"a": [-40.0] * 4, "b": [-37.0] * 4},
        }
    )
    table = interquartile_means(rows).set_index("variant")
    assert table["iqm_nats"].to_dict() == {"a": 0.0, "b": 2.0}
    assert table["observation_spaces"].to_list() == [2, 2]


def test_blocks_are_spaces_and_seeds_of_variants_that_all_have():
    generator = np.random.default_rng(0)
    order = {"a": 0.0, "b": 1.0, "c": 2.0}
    spaces = {
        space: {name: base + x + generator.normal(size=4) * 0.01 for name, x in order.items()}
        for space, base in (("mass", 100.0), ("density", -40.0))
    }
    spaces["mass"]["only here"] = np.zeros(4)
    ranked = ranks_over_blocks(rows_of(spaces))
    assert (ranked.names, ranked.left_out) == (["a", "b", "c"], ["only here"])
    assert (ranked.mean.ranks.tolist(), ranked.mean.num_blocks) == ([1.0, 2.0, 3.0], 8)
    assert ranks_over_blocks(rows_of({"mass": spaces["mass"]})) is None
