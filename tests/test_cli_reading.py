"""`filestore ls`, `show` and `stats`: the exact output."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from filestore.cli.conditions import LOOKUPS, Condition, order
from filestore.cli.terminal import cell, json_safe, safe, sparkline
from tests.command import out, run
from tests.directories import listing, write

if TYPE_CHECKING:
    from pathlib import Path

NOON = 1_700_000_000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two models, with links and a series, as a person wrote them."""
    write(tmp_path / "Human/lisa.json", {"name": "Lisa", "model_name": "Human"})
    write(tmp_path / "Cat/tom.json", {"name": "Tom", "age": 3, "tags": ["grey", 7]})
    write(tmp_path / "Cat/kim.json", {"name": "Kim", "age": 12.5, "sterile": True})
    write(tmp_path / "Cat/zoe.json", {"name": "3"})
    write(tmp_path / "Cat/tom.rels.json", {"carer": ["Human/lisa"], "friends": []})
    series = (
        '{"timestamp":0.0,"value":4}\n{"timestamp":60.0,"value":6}\n{"timestamp":90,"value":5}\n'
    )
    (tmp_path / "Cat/tom.weight.jsonl").write_text(series)
    for path in tmp_path.glob("*/*"):
        os.utime(path, (NOON, NOON))
    return tmp_path


# -- ls --------------------------------------------------------------------------------------------


def test_models(root: Path) -> None:
    (root / "README.md").write_text("Cats")
    (root / "Cat/notes.txt").write_text("not counted")
    (root / "empty").mkdir()

    assert out("ls", root).splitlines() == [
        "model  records  bytes  changed",
        "Cat          3    213  2023-11-14T22:13:20Z",
        "Human        1     36  2023-11-14T22:13:20Z",
    ]


def test_models_as_json(root: Path) -> None:
    assert run("ls", root, "--json").json == [
        {"model": "Cat", "records": 3, "bytes": 213, "changed": "2023-11-14T22:13:20Z"},
        {"model": "Human", "records": 1, "bytes": 36, "changed": "2023-11-14T22:13:20Z"},
    ]


def test_records(root: Path) -> None:
    assert out("ls", root, "Cat").splitlines() == [
        "uid   age  name  sterile  tags",
        "kim  12.5  Kim   true",
        'tom     3  Tom            ["grey", 7]',
        "zoe        3",
    ]


def test_records_as_json(root: Path) -> None:
    assert run("ls", root, "Cat", "--json", "--where", "name=Tom").json == [
        {
            "model": "Cat",
            "uid": "tom",
            "properties": {"name": "Tom", "age": 3, "tags": ["grey", 7]},
            "links": {"carer": ["Human/lisa"], "friends": []},
        }
    ]
    assert run("ls", root, "Cat", "--json", "--columns", "name,carer", "--limit", "2").json == [
        {"model": "Cat", "uid": "kim", "properties": {"name": "Kim"}, "links": {}},
        {
            "model": "Cat",
            "uid": "tom",
            "properties": {"name": "Tom"},
            "links": {"carer": ["Human/lisa"]},
        },
    ]


def test_columns(root: Path) -> None:
    assert out("ls", root, "Cat", "--columns", "name,carer,uid,nothing").splitlines() == [
        "uid  name  carer           nothing",
        "kim  Kim",
        'tom  Tom   ["Human/lisa"]',
        "zoe  3",
    ]


@pytest.mark.parametrize(
    ("options", "uids"),
    [
        (["--order-by", "age"], ["tom", "kim", "zoe"]),
        (["--order-by", "-age"], ["kim", "tom", "zoe"]),
        (["--order-by", "-name"], ["tom", "kim", "zoe"]),
        (["--order-by", "-uid", "--limit", "1"], ["zoe"]),
        (["--limit", "0"], []),
        (["--where", "age__gt=3"], ["kim"]),
        (["--where", "age__gte=3", "--where", "age__lt=12.5"], ["tom"]),
        (["--where", "carer__contains=Human/lisa"], ["tom"]),
        (["--where", "uid__in=tom,zoe"], ["tom", "zoe"]),
    ],
)
def test_order_limit_and_conditions(root: Path, options: list[str], uids: list[str]) -> None:
    assert [record["uid"] for record in run("ls", root, "Cat", "--json", *options).json] == uids


RECORD = {
    "n": 3,
    "x": 1.5,
    "text": "Snowball",
    "digits": "3",
    "yes": True,
    "tags": ["a", 1, None],
    "none": None,
    "a__b": 1,
}


@pytest.mark.parametrize(
    "text",
    [
        "n=3",
        "n__eq=3",
        "x=1.5",
        "n=3.0",
        "digits=3",
        "text=Snowball",
        'text="Snowball"',
        "yes=true",
        "none=null",
        "missing=null",
        "a__b=1",
        'tags=["a",1,null]',
        "n__ne=4",
        "missing__ne=4",
        "n__gt=2",
        "n__gte=3",
        "n__lt=3.5",
        "n__lte=3",
        "text__gt=Ant",
        "digits__lt=4",
        "n__in=1,2,3",
        "n__in=[1,3]",
        "text__in=Snowball,Tom",
        "text__contains=owba",
        "digits__contains=3",
        "tags__contains=a",
        "tags__contains=1",
        "text__startswith=Snow",
        "text__endswith=ball",
        "none__isnull=true",
        "missing__isnull=true",
        "n__isnull=false",
        "text__regex=^S.*l$",
        "text__regex==|S",
    ],
)
def test_condition_that_holds(text: str) -> None:
    assert Condition.parse(text).holds(RECORD)


@pytest.mark.parametrize(
    "text",
    [
        "n=4",
        "n=text",
        "yes=1",
        "n=true",
        "missing=1",
        "n__ne=3",
        "n__gt=3",
        "n__gt=Ant",
        "yes__gt=0",
        "none__lt=1",
        "missing__gte=0",
        "text__lt=3",
        "n__in=4,5",
        "n__in=[true]",
        "n__contains=3",
        "text__contains=x",
        "tags__contains=b",
        "n__startswith=3",
        "text__startswith=now",
        "text__endswith=Snow",
        "n__isnull=true",
        "none__isnull=false",
        "n__regex=3",
        "text__regex=^now",
    ],
)
def test_condition_that_does_not_hold(text: str) -> None:
    assert not Condition.parse(text).holds(RECORD)


def test_every_lookup_is_tried() -> None:
    assert LOOKUPS.keys() == {
        *("eq", "ne", "gt", "gte", "lt", "lte", "in"),
        *("contains", "startswith", "endswith", "isnull", "regex"),
    }


@pytest.mark.parametrize("text", ["age", "=3", "age__isnull=3", "age__regex=["])
def test_condition_that_is_none(root: Path, text: str) -> None:
    done = run("ls", root, "Cat", "--where", text)

    assert (done.status, done.out) == (2, "")
    assert text.partition("=")[2] in done.err


def test_values_of_all_kinds_have_an_order() -> None:
    values = [None, {"b": 1}, {"a": 1}, [2], [1], "b", "a", 2, 1.5, True, False]

    assert sorted(values, key=order) == [
        *(False, True, 1.5, 2, "a", "b"),
        *([1], [2], {"a": 1}, {"b": 1}, None),
    ]


def test_options_without_a_model(root: Path) -> None:
    for option in (["--limit", "3"], ["--where", "a=1"], ["--columns", "a"], ["--order-by", "a"]):
        done = run("ls", root, *option)
        assert done.status == 2
        assert "these options need a MODEL" in done.err


def test_unknown_model(root: Path) -> None:
    assert run("ls", root, "Dog") == (
        1,
        "",
        "filestore: there is no model 'Dog': ls without a model lists them all\n",
    )


def test_model_by_its_directory(root: Path) -> None:
    write(root / "Job%5Bint%5D/j.json", {"n": 1})

    assert out("ls", root, "Job[int]") == out("ls", root, "Job%5Bint%5D/") == "uid  n\nj    1\n"


def test_one_bad_record_hides_no_other(root: Path) -> None:
    (root / "Cat/kim.json").write_text("<<<<<<< ours\n")
    done = run("ls", root, "Cat", "--columns", "name")

    assert done.status == 1
    assert done.out == "uid  name\ntom  Tom\nzoe  3\n"
    assert done.err == (
        f"filestore: {root}/Cat/kim.json, line 1: holds the conflict markers of a git merge: "
        "resolve the conflict in this file\n"
    )


def test_reading_writes_nothing(root: Path) -> None:
    before = listing(root)

    out("ls", root)
    out("ls", root, "Cat")
    out("show", root, "tom")
    out("stats", root)
    out("export", root)

    assert listing(root) == before


# -- show ------------------------------------------------------------------------------------------


def test_record_with_links_and_series(root: Path) -> None:
    assert out("show", root, "tom", "Human/lisa").splitlines() == [
        "Cat/tom",
        "  age      3",
        "  name     Tom",
        '  tags     ["grey", 7]',
        "  carer    → Human/lisa  Lisa",
        "  friends  → nothing",
        "  weight   3 points, 1970-01-01T00:00:00Z to 1970-01-01T00:01:30Z, last 5  ▁█▅",
        "",
        "Human/lisa",
        "  name   Lisa",
        "  carer  ← Cat/tom  Tom",
    ]


def test_record_as_json(root: Path) -> None:
    (tom, lisa) = run("show", root, "Cat/tom.json", "lisa", "--json").json

    assert tom == {
        "model": "Cat",
        "uid": "tom",
        "properties": {"name": "Tom", "age": 3, "tags": ["grey", 7]},
        "links": {"carer": ["Human/lisa"], "friends": []},
        "links_in": {},
        "series": {
            "weight": [
                {"timestamp": 0.0, "value": 4},
                {"timestamp": 60.0, "value": 6},
                {"timestamp": 90, "value": 5},
            ]
        },
    }
    assert lisa["links_in"] == {"carer": ["Cat/tom"]}


def test_links_to_what_cannot_be_shown(root: Path) -> None:
    write(root / "Cat/tom.rels.json", {"carer": ["Human/bart", "Human/lisa", "Cat/zoe", "Cat/kim"]})
    write(root / "Human/lisa.json", [])
    write(root / "Cat/zoe.json", {"name": 3})

    assert out("show", root, "tom").splitlines()[4:8] == [
        "  carer   → Human/bart  (missing)",
        "  carer   → Human/lisa  (cannot be read)",
        "  carer   → Cat/zoe",
        "  carer   → Cat/kim  Kim",
    ]


@pytest.mark.parametrize(
    ("series", "summary"),
    [
        ("\n", "no points"),
        (
            '{"timestamp":0,"value":"warm"}\n',
            "1 point, 1970-01-01T00:00:00Z to 1970-01-01T00:00:00Z, last warm",
        ),
        (
            '{"timestamp":1e30,"value":1}\n{"timestamp":"NaN","value":1}\n',
            "2 points, 1e+30 to nan, last 1  ▁▁",
        ),
    ],
)
def test_series(root: Path, series: str, summary: str) -> None:
    (root / "Cat/tom.weight.jsonl").write_text(series)

    assert out("show", root, "tom").splitlines()[-1] == f"  weight   {summary}"


@pytest.mark.parametrize(
    ("uid", "problem"),
    [
        ("bart", "there is no record 'bart' in {}: ls shows what is there"),
        ("Cat/bart", "there is no record 'Cat/bart' in {}: ls shows what is there"),
        ("a/b/c", "'a/b/c' does not name a record: give Model/uid, or a uid"),
        (
            "Cat/.x",
            (
                "'.x' cannot be a uid, because uids are file names: "
                "use 1 to 128 letters, digits, '_' or '-'"
            ),
        ),
    ],
)
def test_record_that_is_not_there(root: Path, uid: str, problem: str) -> None:
    assert run("show", root, uid) == (1, "", f"filestore: {problem.format(root)}\n")


def test_uid_of_several_records(root: Path) -> None:
    write(root / "Human/tom.json", {})
    done = run("show", root, "tom")

    assert done.status == 1
    assert "names several records" in done.err
    assert out("show", root, "Human/tom") == "Human/tom\n"


# -- stats -----------------------------------------------------------------------------------------


def test_statistics(root: Path) -> None:
    write(root / "Human/bart.rels.json", {"cats": ["Cat/tom", "Cat/gone"]})
    (root / "Cat/README.md").write_text("not counted")
    os.utime(root / "Cat/kim.json", (NOON - 60, NOON - 60))
    os.utime(root / "Cat/zoe.json", (NOON + 60, NOON + 60))

    assert out("stats", root).splitlines() == [
        "models          2",
        "records         4",
        "links           1",
        "series          1",
        "points          3",
        "bytes           280",
        "largest         Cat/tom (161 bytes)",
        "oldest          Cat/kim (2023-11-14T22:12:20Z)",
        "newest          Cat/zoe (2023-11-14T22:14:20Z)",
        "dangling links  0",
        "orphaned files  1",
        "problems        6",
        "index           none: made when it is needed",
        "log             none: made when it is needed",
    ]


def test_statistics_of_links_to_nowhere(root: Path) -> None:
    write(root / "Cat/kim.rels.json", {"carer": ["Human/bart", "Human/maggie", "Human/lisa"]})

    found = run("stats", root, "--json").json
    assert (found["dangling_links"], found["links"]) == (2, 4)


def test_state_of_index_and_log(root: Path) -> None:
    def state(name: str) -> str:
        return str(run("stats", root, "--json").json[name])

    out("init", root)
    assert state("index") == state("log") == "none: made when it is needed"
    time.sleep(0.03)  # an index does not trust files as young as file times are coarse
    out("reindex", root)
    assert state("index") == "up to date"
    out("link", root, "kim", "carer", "lisa")
    assert state("index") == "behind by 1 file: catches up when it is needed"
    assert state("log").endswith(", all is applied")
    (root / ".filestore/index.sqlite").write_bytes(b"rubbish" * 100)
    assert state("index") == "damaged: reindex makes it anew"


def test_statistics_of_a_series_that_is_no_file(root: Path) -> None:
    (root / "Cat/kim.weight.jsonl").mkdir()

    assert run("stats", root, "--json").json["points"] == 3


def test_statistics_of_nothing(tmp_path: Path) -> None:
    found = run("stats", tmp_path, "--json").json

    assert (found["records"], found["largest"], found["oldest"]) == (0, None, None)
    assert "largest         none" in out("stats", tmp_path)


# -- text that is safe to show ---------------------------------------------------------------------

HOSTILE = "\x1b]0;owned\x07\x1b[31m\x9b2J\r\n\u202e\x7f"


def test_hostile_content_is_spelled_out(root: Path) -> None:
    shown = r"\x1b]0;owned\x07\x1b[31m\x9b2J\r\n\u202e\x7f"
    write(root / "Cat/kim.json", {"name": HOSTILE, HOSTILE: HOSTILE, "list": [HOSTILE]})
    write(root / "Cat/kim.rels.json", {HOSTILE: ["Cat/kim"]})
    for args in (
        ["ls", root, "Cat"],
        ["ls", root, "Cat", "--json"],
        ["show", root, "kim"],
        ["show", root, "kim", "--json"],
        ["check", root],
    ):
        text = run(*args).out
        assert text
        assert all(line.isprintable() for line in text.split("\n"))
    assert shown in run("show", root, "kim").out
    assert run("show", root, "kim", "--json").json[0]["properties"]["name"] == HOSTILE


def test_hostile_file_names_are_spelled_out(root: Path) -> None:
    (root / "Cat" / "\x1b[31m.json").write_text("{}")
    (root / "Cat" / os.fsdecode(b"\xff.json")).write_text("{}")
    done = run("check", root)

    assert r"Cat/\x1b[31m.json:1: FS303" in done.out
    assert r"Cat/\udcff.json:1: FS303" in done.out
    assert "\\udcff" in run("check", root, "--json").out


def test_safe_text() -> None:
    assert safe("Schnurri é 猫 🐈") == "Schnurri é 猫 🐈"
    assert safe("a\tb\u2028\ud800") == r"a\tb\u2028\ud800"
    assert json_safe('["\x7f\x9b🐈\U000e0001"]') == r'["\u007f\u009b🐈\udb40\udc01"]'
    assert cell("x" * 50) == "x" * 39 + "…"
    assert cell(10**30) == "1" + "0" * 30
    assert cell(None) == ""


def test_sparkline() -> None:
    assert sparkline([0, 7]) == "▁█"
    assert sparkline([1, 1.0]) == "▁▁"
    assert sparkline(range(100)) == sparkline(range(60, 100))
    assert sparkline([-1.7e308, 1.7e308, 0]) == "▁█▅"
    assert sparkline([True, 1]) == sparkline([1, "a"]) == sparkline([]) == ""
