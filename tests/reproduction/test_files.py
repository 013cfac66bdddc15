"""What a verdict leaves: files that others read."""

import xml.etree.ElementTree as ElementTree

import pytest

from vaebench.reproduction import Outcome, Reproduction, Verdict
from vaebench.reproduction.files import badge, eval_results, read_verdict, write_files

NASTY = 'a "claim" <b>&\n- dataset: x \U0001f600\x7f'


def tried(**more):
    outcomes = (
        Outcome(
            says="it's: equal",
            verdict=Verdict.REPRODUCED,
            reason="within 1",
            published=86.76,
            ours=86.5,
            difference=-0.26,
            low=-0.4,
            high=-0.1,
            values={"0": 86.4, "1": 86.6},
        ),
        Outcome(says="sign", verdict=Verdict.NOT_COMPARABLE, reason="one seed"),
    )
    fields = {
        "claim": "mine",
        "title": "t",
        "scale": "cpu",
        "verdict": Verdict.NOT_COMPARABLE,
        "outcomes": outcomes,
        "source": 'paper, "table" 1',
        "hub": "ylecun/mnist",
        "date": "2026-01-02",
    }
    return Reproduction(**(fields | more))


def test_a_verdict_is_read_back_as_it_was_written(tmp_path):
    paths = write_files(tmp_path, tried())
    assert [p.relative_to(tmp_path).as_posix() for p in paths] == [
        "verdict.json",
        "badge.svg",
        ".eval_results/mine.yaml",
    ]
    assert read_verdict(paths[0]) == tried()


def test_eval_results_are_yaml_of_what_was_obtained():
    yaml = pytest.importorskip("yaml")
    (entry,) = yaml.safe_load(eval_results(tried(source=NASTY)))
    assert entry["dataset"] == {"id": "ylecun/mnist", "task_id": "mine"}
    assert (entry["value"], entry["date"]) == (86.5, "2026-01-02")
    assert entry["notes"] == f"it's: equal: reproduced, published 86.76. {NASTY}"


@pytest.mark.parametrize("more", [{"hub": ""}, {"outcomes": tried().outcomes[1:]}])
def test_without_a_figure_or_a_name_on_the_hub_there_are_no_eval_results(tmp_path, more):
    assert len(write_files(tmp_path, tried(**more))) == 2
    assert not (tmp_path / ".eval_results").exists()


@pytest.mark.parametrize("verdict", Verdict)
def test_a_badge_is_svg_that_says_claim_and_verdict(verdict):
    svg = ElementTree.fromstring(badge(NASTY, verdict))
    texts = [part.text for part in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == [NASTY, verdict]
    assert svg.attrib["aria-label"].endswith(f": {verdict}")
