"""Names of variants: values to four digits, and no two alike."""

import pandas as pd

from tests.report.test_comparison import rows_of
from vaebench.report.labels import display_names
from vaebench.report.tables import printable, summarise


def names(*values, variant="elbo"):
    settings = [f"train.learning_rate={value} train.num_steps=300" for value in values]
    return display_names(
        pd.DataFrame({"variant": variant, "likelihood": "bernoulli", "settings": settings})
    )


def test_a_drawn_value_has_four_digits():
    assert names(0.0012345678901234567, 0.001, 1.23456789e-05) == [
        "elbo, train.learning_rate=0.001235",
        "elbo, train.learning_rate=0.001",
        "elbo, train.learning_rate=1.235e-05",
    ]
    assert names(0.5, variant="beta_elbo(beta=3.9876543210987)") == ["beta_elbo(beta=3.988)"]


def test_values_of_few_digits_and_whole_numbers_stay():
    values = (100000.0, 2.0, 12345678, "1.10.0", "8,4", -0.25)
    assert names(*values) == [f"elbo, train.learning_rate={value}" for value in values]


def test_names_that_would_be_alike_keep_their_digits():
    close = (0.00123456, 0.00123461, 0.0034567)
    expected = ["0.00123456", "0.00123461", "0.003457"]
    assert names(*close) == [f"elbo, train.learning_rate={value}" for value in expected]


def test_the_hash_of_a_plugin_is_named_where_nothing_else_tells_apart():
    def named(*settings):
        lines = {"variant": "elbo", "likelihood": "bernoulli", "settings": settings}
        return display_names(pd.DataFrame(lines))

    words = ("model.name=a plugin=7ff0", "model.name=b plugin=9899")
    assert named(*words) == ["elbo, model.name=a", "elbo, model.name=b"]
    edited = (*words, "model.name=b plugin=1234")
    assert named(*edited) == [f"elbo, {word}" for word in edited]


def test_tables_on_the_terminal_have_four_digits_too():
    values = {"elbo": [100.0, 100.1]}
    parts = [
        rows_of({"nll": values}).assign(settings=f"lr={lr}", run=[f"{lr}-0", f"{lr}-1"])
        for lr in (0.00123456789, 0.01)
    ]
    table = summarise(pd.concat(parts, ignore_index=True))
    assert set(printable(table)["settings"]) == {"lr=0.001235", "lr=0.01"}
    assert set(table["settings"]) == {"lr=0.00123456789", "lr=0.01"}
