"""Payloads as text: what is wrong with them is said where it is wrong."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from atlas_lab import PayloadTypeError
from atlas_lab.payloads import PayloadType
from atlas_lab.widgets.json_text import LONGEST, laid_out, misfit, parse_json, plain, write_json


@pytest.mark.parametrize(
    "text, value", [("", None), ("  \n", None), ("null", None), ("[1, 2.5]", [1, 2.5]), ('"a"', "a")]
)
def test_what_a_text_says(text, value):
    """An empty field is no payload; anything else that is JSON is one."""
    assert parse_json(text) == value


@pytest.mark.parametrize(
    "text, problem",
    [
        ("{'a': 1}", r"line 1, column 2: a key is missing, got \"'\"; JSON wants double quotes"),
        ('{"a": 1\n "b": 2}', "line 2, column 2: a comma or the end is missing"),
        ('{"a": True}', "line 1, column 7: a value is missing, got 'T'; JSON knows true, false and null"),
        ('{"a": hello}', "line 1, column 7: a value is missing, got 'h'; text stands in quotes"),
        ('{"a": 1', "line 1, column 8: a comma or the end is missing, the text ends here"),
        ('{"a": "b', "line 1, column 7: this text has no closing quote"),
        ("1 2", "line 1, column 3: this is more than one value"),
        ('{"a" 1}', "line 1, column 6: a colon is missing"),
        ("NaN", "NaN is no JSON; write null, or a number"),
        ("[" * 200_000, "nested too deep"),
        ("1" * 5000, "Exceeds the limit"),
        (" " + "1" * LONGEST, "1,000,001 characters are too many"),
    ],
)
def test_what_is_no_json_is_told_by_line_and_column(text, problem):
    """Who types a payload sees at once where it stops making sense, and what to write instead."""
    with pytest.raises(ValueError, match=problem):
        parse_json(text)


@dataclass
class Chunk:
    text: str
    index: int


def test_a_misfit_names_the_field():
    """The message at the field is short: which part, what is expected, what came."""
    found = []
    for payload in ({"text": "a", "index": "two"}, {"text": "a"}, 5):
        with pytest.raises(PayloadTypeError) as caught:
            PayloadType(Chunk, "data_type").fit(payload)
        found.append(misfit(caught.value))
    assert found == [
        ("index", "expected int, got str"),
        ("", "object missing required field index"),
        ("", "expected Chunk, got int"),
    ]


def test_payloads_are_written_as_json():
    """What JSON cannot say becomes text, and a mapping is laid out to be edited."""
    assert plain(Chunk("a", 1)) == {"text": "a", "index": 1}
    assert write_json({"a": {1}}) == '{"a": "{1}"}'
    assert laid_out({"a": 1, "b": [2]}) == '{"a": 1,\n "b": [2]}'
    assert laid_out({}) == "{}"
