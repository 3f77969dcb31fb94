"""How a failure puts each kind of difference."""

from __future__ import annotations

from typing import Any

import pytest

from filestore import CorruptFileError
from filestore.comparison import ABSENT, Change, Record
from filestore.disk.layout import Key
from filestore.parts import Moment
from filestore.testing.report import report, summary

TOM, LISA = Key("Cat", "tom"), Key("Human", "lisa")
RECORD = Record({"model_name": "Cat", "name": "Tom"}, {"carer": [LISA]}, {"weight": [{}, {}]})
UNLINKED = Change("link", TOM, "carer", old=LISA.link, item=LISA.link)
MOMENT = Moment(1.0, 0)
BROKEN = CorruptFileError("Cat/tom.json: is empty: restore it")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (Change("record", TOM, old=RECORD), "Cat/tom is missing"),
        (Change("record", TOM, new=RECORD), "Cat/tom is unexpected"),
        (Change("file", TOM, None, RECORD, BROKEN), "Cat/tom.json: is empty: restore it"),
        (Change("file", TOM, None, BROKEN, RECORD), "Cat/tom.json: is empty: restore it"),
        (Change("property", TOM, "age", 3, None), "Cat/tom.age is null, not 3"),
        (Change("property", TOM, "age", 3, ABSENT), "Cat/tom.age is missing"),
        (Change("property", TOM, "age", ABSENT, 3), "Cat/tom.age is unexpected"),
        (Change("property", TOM, "x", [1], [2]), "Cat/tom.x is [2], not [1]"),
        (Change("property", TOM, "x", "é", "e"), 'Cat/tom.x is "e", not "é"'),
        (UNLINKED, "Cat/tom.carer lacks Human/lisa"),
        (
            Change("link", TOM, "carer", new=LISA.link, item=LISA.link),
            "Cat/tom.carer should not have Human/lisa",
        ),
        (
            Change("relationship", TOM, "carer", ["A/a", "A/b"], ["A/b", "A/a"]),
            "Cat/tom.carer has another order",
        ),
        (Change("relationship", TOM, "carer", new=[]), "Cat/tom.carer is unexpected"),
        (Change("relationship", TOM, "carer", old=[]), "Cat/tom.carer is missing"),
        (Change("point", TOM, "weight", 4.0, 4.5, MOMENT), "Cat/tom.weight at 1.0 is 4.5, not 4.0"),
        (Change("point", TOM, "weight", [1], [2], MOMENT), "Cat/tom.weight at 1.0 is [2], not [1]"),
        (Change("series", TOM, "weight", [{}], [{}]), "Cat/tom.weight has another order"),
        (Change("series", TOM, "weight", old=[]), "Cat/tom.weight is missing"),
    ],
)
def test_summary(change: Change, sentence: str) -> None:
    assert summary([change]) == sentence
    assert summary([change, change]) == f"{sentence}, and 1 more difference"


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        (
            Change("record", TOM, old=RECORD),
            '- Cat/tom  {"carer": ["Human/lisa"], "name": "Tom", "weight": "2 points"}',
        ),
        (
            Change("file", TOM, None, RECORD._replace(links={}, series={}), BROKEN),
            '- Cat/tom  {"name": "Tom"}\n+ Cat/tom  Cat/tom.json: is empty: restore it',
        ),
        (Change("property", TOM, "age", 3, None), "  Cat/tom\n-   age: 3\n+   age: null"),
        (UNLINKED, "  Cat/tom\n-   carer: Human/lisa"),
        (Change("relationship", TOM, "carer", new=[]), "  Cat/tom\n+   carer: []"),
        (Change("point", TOM, "w", 1, 2, MOMENT), "  Cat/tom\n-   w at 1.0: 1\n+   w at 1.0: 2"),
    ],
)
def test_report(change: Change, lines: str) -> None:
    assert report([change], full=False) == lines


def test_long_values_are_compared_line_by_line() -> None:
    old: dict[str, Any] = {"street": "x" * 50, "city": "Norwich", "floors": [1, 2]}
    text = report([Change("property", TOM, "address", old, {**old, "city": "York"})], full=True)
    assert text.splitlines() == [
        "  Cat/tom",
        "    address:",
        "      {",
        '-       "city": "Norwich",',
        '+       "city": "York",',
        '        "floors": [',
        "          1,",
        "          2",
        "        ],",
        f'        "street": "{"x" * 50}"',
        "      }",
    ]


def test_differences_of_one_record_stand_together() -> None:
    changes = [
        Change("property", TOM, "age", 1, 2),
        Change("property", LISA, "age", 1, 2),
        UNLINKED,
    ]
    assert [line for line in report(changes, full=True).splitlines() if "/" in line] == [
        "  Cat/tom",
        "-   carer: Human/lisa",
        "  Human/lisa",
    ]
