"""The summary in LaTeX: booktabs, the best in bold, ties marked, every user's word escaped."""

import re

import msgspec
import pytest

from tests.core.test_shown import HOSTILE, storable
from tests.report.test_tables import RECORDS, record
from vaebench import results
from vaebench.core.shown import plain
from vaebench.report.latex import SPECIAL, escaped, latex
from vaebench.report.tables import summarise

COMMAND = re.compile("|".join(sorted(map(re.escape, SPECIAL.values()), key=len, reverse=True)))
BACK = {shown: written for written, shown in SPECIAL.items()}


def summary(folder, records):
    results.prepare(folder)
    for one in records:
        results.write(folder, one)
    return latex(summarise(results.load(folder)))


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_a_word_is_shown_as_it_is_written(name):
    words = escaped(name)
    assert COMMAND.sub(lambda match: BACK[match[0]], words) == plain(name)
    assert not re.search(r"(?<!\\)[#$%&_{}~^]", COMMAND.sub("", words))


def test_best_in_bold_and_ties_marked(tmp_path):
    text = summary(tmp_path, RECORDS)
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 2
    lines = {line.split(" & ")[0]: line for line in text.splitlines() if line.endswith(r"\\")}
    assert r"\textbf{100.00 $\pm$ 0.33}" in lines["elbo"] or r"\textbf{$-$40.00" in lines["elbo"]
    assert text.count(r"\textbf") == 2
    assert r"near \textsuperscript{=}" in lines
    assert "worse" in lines and "lost" in lines
    assert len({line.count(" & ") for line in lines.values()}) == 1


def test_hostile_names_leave_the_table_whole(tmp_path):
    records = []
    for i, name in enumerate(map(storable, HOSTILE.values())):
        one = record(name, 0, 100.0 + i, settings="a=1")
        records.append(msgspec.structs.replace(one, run=f"{i:016x}"))
    text = summary(tmp_path, records)
    lines = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(lines) == 1 + len(HOSTILE)
    assert len({len(re.findall(r"(?<!\\)&", line)) for line in lines}) == 1
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")


@pytest.mark.parametrize("name", ["[0.5em] mine", "* mine"])
def test_a_name_is_no_option_of_the_row_before(tmp_path, name):
    r"""\\ and \midrule take what follows in brackets, and a star, also on the next line."""
    text = summary(tmp_path, [record(name, seed, 100.0 + seed, settings="a=1") for seed in (0, 1)])
    assert not re.search(r"(\\\\|\\midrule)\s*[\[*]", text)
    assert f"{{{name[0]}}}" in text
