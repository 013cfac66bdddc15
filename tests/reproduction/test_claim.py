"""The claims that come with the suite, and how a claim's file is read."""

import pytest

from tests.support import ROOT
from vaebench.config.study import expand
from vaebench.core.errors import InputError
from vaebench.reproduction import names, read_claim
from vaebench.reproduction.claim import FOLDER
from vaebench.reproduction.statements import Difference, Exact, Slope, Unbeaten, Value

SMALL = """
title = "t"
source = "s"
[study.base]
objective = "elbo"
[full]
statements = [{ kind = "value", says = "v", published = 1.0 }]
"""


@pytest.mark.parametrize("name", names())
def test_a_claim_says_where_it_is_from_and_what_counts_as_equal(name):
    claim = read_claim(name)
    assert claim.title and claim.source
    for scale in claim.scales:
        for statement in claim.scale(scale).statements:
            assert statement.says
            if isinstance(statement, Value | Difference | Exact | Slope | Unbeaten):
                assert statement.tolerance > 0.0 and statement.because
            if not isinstance(statement, Slope):
                assert statement.protocol


def test_a_claim_of_the_suite_is_the_same_by_its_path():
    claim = read_claim("dreg-gain")
    assert claim.cpu.expected
    assert read_claim(str(FOLDER / ".." / FOLDER.name / "dreg-gain.toml")) == claim


@pytest.mark.parametrize("name", [n for n in names() if not read_claim(n).lacks])
def test_every_statement_has_runs_of_two_seeds(name):
    """Else no verdict would have an interval."""
    claim = read_claim(name)
    for scale in claim.scales:
        study = claim.study_at(scale)
        if claim.scale(scale).gradients is not None:
            assert len(claim.scale(scale).gradients.seeds) > 1
            continue
        assert len(study.axes["seed"]) > 1


def test_the_statements_of_a_claim_select_runs_of_its_study():
    """One claim in full: sigma-vae has the most kinds of selections, and digits for its data."""
    from msgspec import to_builtins

    from vaebench.reproduction.evidence import matches

    claim = read_claim("sigma-vae")
    configs = [to_builtins(config) for config in expand(claim.study_at("cpu"))]
    num_seeds = len(claim.study_at("cpu").axes["seed"])
    for statement in claim.scale("cpu").statements:
        assert sum(matches(c, statement.of) for c in configs) == num_seeds
        others = statement.minus if isinstance(statement, Difference) else statement.others
        assert sum(matches(c, others) for c in configs) % num_seeds == 0
        assert any(matches(c, others) for c in configs)


SUMMED = {
    "altosaar-iaf": (1e-8, 0.0),
    "altosaar-mean-field": (1e-8, 0.0),
    "iwae-1-layer": (1e-4, 1.0),
    "iwae-2-layers": (1e-4, 1.0),
    "miwae-64": (1e-4, 1.0),
}
"""Epsilon, and where the second moment starts, of code that sums losses over a minibatch."""


@pytest.mark.parametrize("name", SUMMED)
def test_what_stands_beside_sums_is_divided_by_the_minibatch(name):
    """Gradients of a mean are those of a sum over B, and Adam is the same with both of these so."""
    train = read_claim(name).study_at("full").base["train"]
    epsilon, second_moment = SUMMED[name]
    assert train["epsilon"] == pytest.approx(epsilon / train["batch_size"], rel=1e-12)
    assert train.get("second_moment", 0.0) == second_moment / train["batch_size"] ** 2


def test_a_claim_of_ones_own_is_a_path(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(SMALL)
    claim = read_claim(str(path))
    assert (claim.name, claim.scales) == ("mine", ["full"])
    with pytest.raises(InputError, match="it has full alone"):
        claim.scale("cpu")


@pytest.mark.parametrize(
    "text, words",
    [
        (SMALL.replace("published", "publisht"), "publisht"),
        (SMALL.replace('"value"', '"valu"'), "valu"),
        (SMALL.replace('title = "t"', ""), "title"),
        (SMALL.partition("[{")[0] + "[]", "a statement at least"),
        (SMALL.replace("= 1.0", "= nan"), "published"),
        (SMALL.replace("= 1.0", "= 1.0, tolerance = -0.1"), "tolerance"),
        (SMALL.replace("= 1.0", "= 1.0, tolerance = inf"), "tolerance"),
        (SMALL.replace("= 1.0", "= 1.0, spread = -0.1"), "spread"),
        (
            SMALL.replace("}]", '}, { kind = "value", says = "v", published = 2.0 }]'),
            "a sentence of its own",
        ),
        (
            SMALL.replace('"value"', '"exact"').replace("published = 1.0", 'theory = "pc"'),
            "pca_nll",
        ),
        (SMALL + "gradients = { samples = [4], replicas = 2, at = [], seeds = [0] }", "one n"),
        (SMALL + "expected = { w = { 0 = 1.0, 1 = 2.0 } }", "sentence .*; got 'w' with 2"),
        (SMALL + "expected = { v = { 0 = 1.0 } }", "two seeds or more; got 'v' with 1"),
        (SMALL.replace("[study.base]", "").replace('objective = "elbo"', ""), "study.base"),
        (
            "study.axes.seed = [0]\n"
            + SMALL
            + "gradients = { samples = [4], replicas = 2, at = [1], seeds = [0] }",
            "leave axes.seed out",
        ),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path, text, words):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=f"mine.toml: .*{words}"):
        read_claim(str(path))


def test_an_unknown_claim_is_answered_with_the_nearest():
    with pytest.raises(InputError, match="did you mean 'sigma-vae'"):
        read_claim("sigma-vea")


def test_expectations_are_of_the_suites_claims_alone(tmp_path, monkeypatch):
    """Or of what a file of one's own has itself: not by the name of the file."""
    path = tmp_path / "sigma-vae.toml"
    path.write_text(SMALL + '[cpu]\nstatements = [{ kind = "value", says = "v", published = 1.0 }]')
    assert read_claim("sigma-vae").cpu.expected
    assert read_claim(str(path)).cpu.expected == {}
    with path.open("a") as file:
        file.write('\n[cpu.expected."v"]\n"0" = 1.5\n"1" = 2')
    assert read_claim(str(path)).cpu.expected == {"v": {"0": 1.5, "1": 2.0}}
    assert read_claim(str(path)).full.expected == {}


def test_the_claim_on_the_page_is_one(tmp_path):
    text = (ROOT / "docs" / "reproduction.md").read_text()
    path = tmp_path / "mine.toml"
    path.write_text(text.partition("```toml\n")[2].partition("```")[0])
    claim = read_claim(str(path))
    assert claim.scales == ["cpu", "full"]
    for scale in claim.scales:
        assert len(expand(claim.study_at(scale))) == 3
