"""Values of another kind than is due are refused in words: what must hold, and what to write."""

import re
import sys
from typing import Annotated, Literal

import pytest
from msgspec import Meta, Struct

from vaebench.config.convert import convert, must_be
from vaebench.core.errors import InputError


class Part(Struct, frozen=True, forbid_unknown_fields=True):
    name: str = ""
    size: int = 1


class Whole(Struct, frozen=True, forbid_unknown_fields=True):
    steps: Annotated[int, Meta(ge=1)] = 1
    rate: float = 1.0
    share: Annotated[float, Meta(gt=0.0, lt=1.0)] | None = None
    text: str = ""
    flag: bool = False
    word: Literal["none", "static"] = "none"
    sizes: tuple[int, ...] = ()
    part: Part = Part()


REFUSED = {
    "whole float": ({"steps": 1000.0}, "steps must be a whole number; got 1000.0: write 1000"),
    "float": ({"steps": 1.5}, "steps must be a whole number; got 1.5"),
    "inexact": ({"steps": 1e30}, "steps must be a whole number; got 1e+30"),
    "quoted": ({"steps": "1e3"}, "steps must be a whole number; got '1e3': write 1000"),
    "word": ({"steps": "ten"}, "steps must be a whole number; got 'ten'"),
    "none": ({"steps": None}, "steps must be a whole number; got None"),
    "bound": ({"steps": 0}, "steps must be a whole number of at least 1; got 0"),
    "bool": ({"rate": True}, "rate must be a number; got True"),
    "quoted number": ({"rate": "3"}, "rate must be a number; got '3': write 3"),
    "optional": ({"share": "x"}, "share must be a number; got 'x'"),
    "open bound": ({"share": 1.0}, "share must be a number below 1; got 1.0"),
    "text": ({"text": 3}, "text must be text; got 3"),
    "flag": ({"flag": 1}, "flag must be true or false; got 1"),
    "quoted flag": ({"flag": "true"}, "flag must be true or false; got 'true': write true"),
    "one of": ({"word": 3}, "word must be text; got 3; known: none, static"),
    "list": ({"sizes": 3}, "sizes must be a list; got 3: write [3]"),
    "item": ({"sizes": [2, 3.0]}, "sizes[1] must be a whole number; got 3.0: write 3"),
    "table": ({"part": 3}, "part must be a table; got 3: write {name = ...}"),
    "inner": ({"part": {"size": 2.0}}, "part.size must be a whole number; got 2.0: write 2"),
    "field": (
        {"part": {"siz": 2}},
        "Object contains unknown field 'siz' - at 'part'; did you mean 'size'? known: name, size",
    ),
    "no word": (
        {"word": "statc"},
        "Invalid value 'statc' - at 'word'; did you mean 'static'? known: none, static",
    ),
}


@pytest.mark.parametrize(("table", "message"), REFUSED.values(), ids=REFUSED)
def test_a_value_of_another_kind_is_refused_with_what_to_write(table, message):
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        convert(table, Whole)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("Expected 'int | null' >= 1", "must be a whole number of at least 1"),
        ("Expected 'float | null' <= 1.5", "must be a number of at most 1.5"),
        (
            "Expected 'int' <= 9999999999999999",
            "must be a whole number of at most 9999999999999999",
        ),
        (f"Expected 'float' <= {sys.float_info.max}", "must be a finite number"),
        ("Expected 'float' > 0.0", "must be a number above 0"),
        ("Expected 'float | object', got 'array'", "must be a number or a table"),
        ("Expected 'bool | int | float', got 'str'", "must be true or false or a number"),
        ("Object missing required field 'name'", ""),
    ],
)
def test_what_must_hold_is_said_in_words(fault, words):
    assert must_be(fault) == words
