"""Rows of records: the settings of their runs as columns."""

import msgspec
import pandas as pd
import pytest

from tests.results.test_folder import LABELS, RECORD
from vaebench import results
from vaebench.results.rows import configuration

LINEAR = {"name": "linear", "hyper": {"over": 0.5}}
CONFIG = {
    "objective": {"name": "beta_elbo", "hyper": {"beta": 4.0}},
    "prior": {"name": "laplace", "hyper": {"beta": 7}},
    "rate_weight": LINEAR,
    "model": {"name": "mlp", "latent_dim": 8, "widths": [128, 64]},
    "train": {"learning_rate": 1e-3, "max_grad_norm": None},
    "evaluate": {"gradings": [{"name": "likelihood", "hyper": {}}]},
    "seed": 3,
}


def test_numbers_are_numbers_and_begin_with_their_kind():
    assert configuration(CONFIG) == {
        "objective.name": "beta_elbo",
        "objective.beta": 4.0,
        "prior.name": "laplace",
        "prior.beta": 7.0,
        "rate_weight.name": "linear",
        "rate_weight.over": 0.5,
        "model.name": "mlp",
        "model.latent_dim": 8.0,
        "model.widths": "128,64",
        "train.learning_rate": 1e-3,
    }


@pytest.mark.parametrize("config", [{}, {"objective": "elbo", "model": None, "train": [[1]]}])
def test_a_record_that_holds_none_has_no_numbers(config):
    assert not [v for v in configuration(config).values() if not isinstance(v, str)]


def test_whole_numbers_beyond_what_a_table_holds_are_left_out():
    assert configuration({"model": {"latent_dim": 10**400}}) == {}


@pytest.fixture
def out(tmp_path):
    results.prepare(tmp_path)
    return tmp_path


def test_columns_of_runs_stand_in_every_row_of_theirs(out):
    other = msgspec.structs.replace(RECORD, run="f" * 16)
    for record in (msgspec.structs.replace(RECORD, config=CONFIG), other):
        results.write(out, record)
    rows = results.load(out).set_index("run")
    assert rows["objective.beta"].dtype == float
    assert rows.loc[RECORD.run, "objective.beta"].to_list() == [4.0, 4.0]
    assert rows.loc[other.run, "objective.beta"].isna().all()
    curves = results.curves(out).set_index("run")
    assert curves.loc[RECORD.run, "prior.beta"].to_list() == [7.0, 7.0]


def test_a_timing_has_the_configuration_of_its_variant(out):
    results.write(out, msgspec.structs.replace(RECORD, config=CONFIG))
    timing = results.Record(
        run=f"timing-{RECORD.run}",
        study="s",
        labels=msgspec.structs.replace(LABELS, seed=None),
        status="done",
        metrics=[results.metric("examples_per_s", 5.0)],
        config={"runs": [RECORD.run]},
    )
    results.write_timings(out, [timing])
    rows = results.load(out)
    assert rows["objective.beta"].to_list() == [4.0] * 3
    assert rows["metric"].to_list()[-1] == "examples_per_s"


def test_rows_without_any_configuration_have_no_columns_of_it():
    rows = results.frame([RECORD])
    assert isinstance(rows, pd.DataFrame)
    assert not [name for name in rows.columns if "." in name]
