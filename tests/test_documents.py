"""Bytes: what is written, what is read back, and what is refused with which path and line."""

from __future__ import annotations

import math
import resource
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from filestore.disk.documents import (
    decode_document,
    decode_links,
    decode_points,
    encode_document,
    encode_links,
    encode_points,
    line_of,
)
from filestore.disk.layout import Key
from filestore.errors import CorruptFileError, MergeConflictError, UnsupportedValueError

reproducible = settings(derandomize=True, deadline=None, max_examples=50)

PATH = Path("data/Cat/snowball.json")
LARGEST = 2**1024 - 2**970 - 1  # the next integer is an infinite float

texts = st.text(st.characters(exclude_categories=["Cs"]))
integers = st.integers() | st.integers(-(10**300), 10**300)
scalars = st.none() | st.booleans() | integers | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    scalars | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)
json_objects = st.dictionaries(texts, json_values, max_size=5)
points = st.fixed_dictionaries({"timestamp": st.floats(-1e9, 1e9), "value": json_values})
link_indexes = st.dictionaries(
    texts,
    st.lists(st.builds(Key, texts.filter(bool).map(lambda s: s[:8]), st.just("a")), unique=True),
    max_size=4,
)


def same(left: object, right: object) -> bool:
    """Equal, with all types: 1, 1.0 and True differ, and so do 0.0 and -0.0."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float):
        return left == right and math.copysign(1, left) == math.copysign(1, right)
    return left == right


def refused(read, data: bytes, *, line: int | None, match: str, error=CorruptFileError) -> None:
    """`read` raises that error, with the path and the line in its text and its attributes."""
    with pytest.raises(CorruptFileError, match=match) as caught:
        read(data, PATH)
    assert type(caught.value) is error
    assert (caught.value.path, caught.value.line) == (PATH, line)
    where = f"{PATH}, line {line}: " if line is not None else f"{PATH}: "
    assert str(caught.value).startswith(where)
    assert len(str(caught.value)) < 400


# -- canonical bytes -------------------------------------------------------------------------------


def test_canonical_bytes_of_a_record():
    document = {"name": "Snowball", "age": 3, "tags": ["a", {}], "caf\u00e9": {"b": [], "a": None}}
    assert encode_document(document).decode() == textwrap.dedent("""\
        {
          "age": 3,
          "caf\u00e9": {
            "a": null,
            "b": []
          },
          "name": "Snowball",
          "tags": [
            "a",
            {}
          ]
        }
        """)


def test_canonical_bytes_of_links():
    links = {"likes": [Key("Food", "fish")], "carer": [Key("Job[int]", "91aa")], "kittens": []}
    assert encode_links(links).decode() == textwrap.dedent("""\
        {
          "carer": [
            "Job%5Bint%5D/91aa"
          ],
          "kittens": [],
          "likes": [
            "Food/fish"
          ]
        }
        """)


def test_canonical_bytes_of_a_series():
    points = [{"value": 4.1, "timestamp": 0.0}, {"timestamp": 3600.0, "value": {"b": 1, "a": []}}]
    assert encode_points(points).decode() == textwrap.dedent("""\
        {"timestamp":0.0,"value":4.1}
        {"timestamp":3600.0,"value":{"a":[],"b":1}}
        """)


@reproducible
@given(json_objects)
@example({"a": 2**64, "b": -(2**63) - 1, "c": [LARGEST, -LARGEST, {"d": 10**30}]})
@example({"a": -0.0, "b": 5e-324, "c": 1.7976931348623157e308, "d": 1e16, "e": 1})
def test_a_document_comes_back_with_its_types(document):
    data = encode_document(document)
    back = decode_document(data, PATH)
    assert same(back, document)
    assert encode_document(back) == data
    assert data.endswith(b"}\n")


@reproducible
@given(json_objects, st.randoms(use_true_random=False))
def test_equal_content_gives_equal_bytes(document, random):
    members = list(document.items())
    random.shuffle(members)
    assert encode_document(dict(members)) == encode_document(document)


@reproducible
@given(json_objects, st.sampled_from([(b"\n", b"\r\n"), (b"\n", b"\n \t"), (b"\n  ", b"\n")]))
def test_other_spellings_of_a_document_are_read_alike(document, change):
    assert same(decode_document(encode_document(document).replace(*change), PATH), document)


@reproducible
@given(link_indexes)
def test_links_come_back(links):
    data = encode_links(links)
    assert decode_links(data, PATH) == links
    assert encode_links(decode_links(data, PATH)) == data


@reproducible
@given(st.lists(points, max_size=5))
@example([{"timestamp": 0.0, "value": 2**64}])
@example([{"timestamp": "NaN", "value": None}, {"timestamp": "-Infinity", "value": 1}])
def test_a_series_comes_back_with_its_types(series):
    data = encode_points(series)
    assert same(decode_points(data, PATH), series)
    assert encode_points(decode_points(data, PATH)) == data
    assert data.endswith(b"\n")
    assert data.count(b"\n") == max(1, len(series))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("\ud800", id="lone surrogate"),
        pytest.param(10**309, id="beyond every float"),
        pytest.param(-(10**5000), id="more digits than Python converts"),
        pytest.param({1: 2}, id="key that is no text"),
        pytest.param({1, 2}, id="set"),
        pytest.param(b"a", id="bytes"),
    ],
)
def test_what_could_not_be_read_back_is_not_written(value):
    with pytest.raises(UnsupportedValueError, match="cannot be written as JSON"):
        encode_document({"a": [value]})
    with pytest.raises(UnsupportedValueError, match="cannot be written as JSON"):
        encode_points([{"timestamp": 0.0, "value": value}])


def nested(depth: int) -> dict:
    document: dict = {}
    for _ in range(depth - 1):
        document = {"a": document}
    return document


def test_nesting_is_written_as_deep_as_it_is_read():
    assert decode_document(encode_document(nested(254)), PATH) == nested(254)
    for depth in (255, 2_000, 100_000):
        with pytest.raises(UnsupportedValueError, match="at most 254 levels"):
            encode_document(nested(depth))


# -- what a person, an editor, git or a power cut leaves in a record file --------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("18446744073709551616", 2**64),
        ("-9223372036854775809", -(2**63) - 1),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ("1" + "0" * 308, 10**308),
        ("18446744073709551615", 2**64 - 1),
        ("9007199254740993", 2**53 + 1),
        ("-0", 0),
        ("-0.0", -0.0),
        ("1e2", 100.0),
        ("1E5", 1e5),
        ("0.1", 0.1),
        ("2.2250738585072011e-308", 2.2250738585072011e-308),
        ('"\\u0041\\ud83d\\ude00\\/"', "A\N{GRINNING FACE}/"),
        ('"\\u0000"', "\0"),
        ('"<<<<<<< HEAD"', "<<<<<<< HEAD"),
        ('"a\\n<<<<<<< HEAD\\n=======\\n>>>>>>> b"', "a\n<<<<<<< HEAD\n=======\n>>>>>>> b"),
    ],
)
def test_hand_written_values_are_exact(text, value):
    data = f'\n{{"a" :\t{text},\r\n "z": [ ]}}'.encode()
    assert same(decode_document(data, PATH), {"a": value, "z": []})


def test_huge_integers_of_a_hand_written_file_survive_a_write():
    document = decode_document(b'{"n": 123456789012345678901234567890, "m": [1, -1e2]}', PATH)
    document["x"] = 1
    assert encode_document(document).decode() == textwrap.dedent("""\
        {
          "m": [
            1,
            -100.0
          ],
          "n": 123456789012345678901234567890,
          "x": 1
        }
        """)


@pytest.mark.parametrize(
    ("data", "line", "match"),
    [
        pytest.param(b"", 1, "is empty, as a power loss", id="empty"),
        pytest.param(b"\0" * 4096, 1, "nothing but NUL bytes", id="NUL bytes"),
        pytest.param(b'{\n"a": 1\n\0\0}', 3, "no valid JSON", id="a NUL byte inside"),
        pytest.param(b'{"a": 1}\n' + b"\0" * 9, 2, "no valid JSON", id="NUL bytes behind"),
        pytest.param(b'{\n  "a": 1', 2, "unexpected end", id="truncated"),
        pytest.param(b'{\n  "a": "x', 2, "unexpected end", id="truncated in a text"),
        pytest.param(b"   \n", 1, "no valid JSON", id="blank"),
        pytest.param(b'\xef\xbb\xbf{"a": 1}', 1, "save it as UTF-8 without", id="BOM"),
        pytest.param('{"a": 1}'.encode("utf-16"), 1, "not UTF-8", id="UTF-16"),
        pytest.param(b'{\n"a":\n"caf\xe9"}', 3, "not UTF-8", id="Latin-1"),
        pytest.param(b'{\n"a":\n"\xed\xa0\x80"}', 3, "not UTF-8", id="encoded surrogate"),
        pytest.param(b'{"a":\n"\\ud800"}', 2, "no valid JSON", id="lone surrogate"),
        pytest.param(b'{"a":\n"\\udc00\\ud800"}', 2, "no valid JSON", id="surrogates swapped"),
        pytest.param(b'{"a": 1}\n{"a": 1}', 2, "no valid JSON", id="two documents"),
        pytest.param(b'{"a": 1}\nx', 2, "no valid JSON", id="text behind"),
        pytest.param(b'{"a": 1,\n}', 1, "no valid JSON", id="trailing comma"),
        pytest.param(b"{'a': 1}", 1, "no valid JSON", id="single quotes"),
        pytest.param(b"{a: 1}", 1, "no valid JSON", id="bare key"),
        pytest.param(b'// x\n{"a": 1}', 1, "no valid JSON", id="comment"),
        pytest.param(b'{"a": "x\ny"}', 1, "no valid JSON", id="newline in a text"),
        pytest.param(b'{"a": 01}', 1, "no valid JSON", id="octal"),
        pytest.param(b'{\n"a": NaN}', 2, "no valid JSON", id="NaN"),
        pytest.param(b'{\n"a": -Infinity}', 2, "no valid JSON", id="-Infinity"),
        pytest.param(b'{\n\n"a": 1e999}', 3, "no valid JSON", id="1e999"),
        pytest.param(b'{\n\n"a": 1%s}' % (b"0" * 400), 3, "no valid JSON", id="10**400"),
        pytest.param(b'{\n\n"a": -1%s}' % (b"0" * 5000), 3, "no valid JSON", id="-10**5000"),
        pytest.param(b"[" * 100_000, 1, "no valid JSON", id="100,000 brackets"),
        pytest.param(b'{"a":' * 100_000, 1, "no valid JSON", id="100,000 objects"),
        pytest.param(b'{"a":' * 1025 + b"1" + b"}" * 1025, 1, "no valid JSON", id="1,025 levels"),
        pytest.param(b'{"a":' * 255 + b"1" + b"}" * 255, 1, "deeper than 254", id="255 levels"),
        pytest.param(b'{"a":' + b"[" * 254 + b"]" * 254 + b"}", 1, "deeper", id="255 mixed"),
        pytest.param(b"null", 1, "holds null: it should hold an object", id="null"),
        pytest.param(b"[]", 1, "holds a list", id="list"),
        pytest.param(b'"{}"', 1, "holds a text", id="text"),
        pytest.param(b"true", 1, "holds a boolean", id="boolean"),
        pytest.param(b"18446744073709551616", 1, "holds a number", id="number"),
    ],
)
def test_what_is_no_record(data, line, match):
    refused(decode_document, data, line=line, match=match)


@pytest.mark.parametrize(
    ("data", "line", "key"),
    [
        (b'{"a": 1,\n"a": 1}', 2, "a"),
        (b'{"a": 1,\n"b": {"a": 1},\n"a": 1}', 3, "a"),
        (b'{"x": {"c": 1},\n"y": [{"c": 1}, {"d": 1,\n"c": 2,\n"c": 3}],\n"c": 1}', 4, "c"),
        (b'{"x": "a",\n"a": "a", "b": "\\"a\\":",\n"a" \n: 1}', 3, "a"),
        (b'{"caf\\u00e9": 1,\n"caf\xc3\xa9": 1}', 2, "caf\u00e9"),
        (b'{"": 1,\n"": 2}', 2, ""),
        (b'{"{": {"}": 1},\n"{": 2}', 2, "{"),
        (b'{"a\\\\": "\\\\",\n"a\\\\": 1}', 2, "a\\"),
        (b'{"b": [' + b'{"z":' * 200 + b'{"q": 1,\n"q": 2}' + b"}" * 200 + b"]}", 2, "q"),
    ],
)
def test_a_key_that_an_object_has_twice(data, line, key):
    refused(decode_document, data, line=line, match=r"a second time: delete one")
    with pytest.raises(CorruptFileError) as caught:
        decode_document(data, PATH)
    assert f"has the key {key!r} " in str(caught.value)


MERGE = b'{\n  "age": 3,\n<<<<<<< HEAD\n  "name": "a"\n=======\n  "name": "b"\n>>>>>>> theirs\n}\n'
DIFF3 = MERGE.replace(b"=======\n", b'||||||| 1234567\n  "name": "c"\n=======\n')


@pytest.mark.parametrize(
    ("data", "line"),
    [
        pytest.param(MERGE, 3, id="merge"),
        pytest.param(DIFF3, 3, id="diff3"),
        pytest.param(MERGE.replace(b"\n", b"\r\n"), 3, id="CRLF"),
        pytest.param(b"<<<<<<< HEAD\n{}\n=======\n>>>>>>> theirs\n", 1, id="whole file"),
        pytest.param(b"{\n<<<<<<<\n=======\n>>>>>>>\n}", 2, id="no labels"),
        pytest.param(b"{\r\n<<<<<<<\r\n=======\r\n>>>>>>>\r\n}", 2, id="no labels, CRLF"),
        pytest.param(b"[\n" + MERGE[2:], 3, id="broken before it"),
        pytest.param(b'{\n  "a": 1,\n>>>>>>> theirs\n}', 3, id="half resolved"),
    ],
)
def test_conflict_markers(data, line):
    for read in (decode_document, decode_links, decode_points):
        refused(read, data, line=line, match="git merge", error=MergeConflictError)


@pytest.mark.parametrize("data", [b'{"a":\n<<<<<<<<<< x}', b'{"a":\n <<<<<<< x}', b"=======\n"])
def test_what_only_looks_like_conflict_markers(data):
    refused(decode_document, data, line=2 if data[0] == 123 else 1, match="no valid JSON")


def test_the_line_of_a_key():
    data = b'{\n"b": {"a": "a"},\n"c": ["a"], "d": "a",\n"a": 1,\n"\\u0065": 2}'
    assert line_of(data, "b") == 2
    assert line_of(data, "a") == 4
    assert line_of(data, "a", key=False) == 3
    assert line_of(data, "e") == 5
    assert line_of(data, "nowhere") is None


# -- relationship indexes --------------------------------------------------------------------------


def test_duplicate_links_collapse_in_first_seen_order():
    data = b'{"a": ["Cat/2", "Cat/1", "Cat\\/2", "Dog/1", "C\\u0061t/1"], "b": ["Cat/1"], "c": []}'
    cats = [Key("Cat", "2"), Key("Cat", "1"), Key("Dog", "1")]
    assert decode_links(data, PATH) == {"a": cats, "b": [Key("Cat", "1")], "c": []}


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ("null", "has null for 'carer': it should be a list"),
        ('"Cat/a"', "has a text for 'carer'"),
        ('{"Cat/a": 1}', "has an object for 'carer'"),
        ("1", "has a number for 'carer'"),
        ("true", "has a boolean for 'carer'"),
    ],
)
def test_relationships_of_a_wrong_shape(value, match):
    data = f'{{"likes": ["carer/x"],\n"carer": {value}}}'.replace('["carer/x"]', "[]").encode()
    refused(decode_links, data, line=2, match=match)


@pytest.mark.parametrize("value", ["null", "1", "[]", '["Cat/a"]', '{"uid": "a"}', "false"])
def test_links_that_are_no_text(value):
    data = f'{{"likes": [],\n"carer": ["Cat/a", {value}]}}'.encode()
    refused(decode_links, data, line=2, match="among the links of 'carer': a link is a text")


@pytest.mark.parametrize(
    "link",
    [
        "",
        "snowball",
        "Cat/",
        "/snowball",
        "Cat/a/b",
        "../Cat/snowball",
        "Cat/..",
        "Cat/../../etc/passwd",
        "./snowball",
        "../../x",
        "/etc/passwd",
        "//etc/passwd",
        "file:///etc/passwd",
        "C:\\Windows\\x",
        "Cat\\snowball",
        "..\\x/y",
        "Cat/snow ball",
        "Cat/snowball.json",
        "Cat/snowball\\n",
        "Cat/snowball\\u0000",
        "Cat\N{FRACTION SLASH}snowball",
        "Cat\N{FULLWIDTH SOLIDUS}snowball",
        "C\N{CYRILLIC SMALL LETTER A}t/snowball",
        "Cat/\N{FULLWIDTH LATIN SMALL LETTER S}nowball",
        "Cat/\N{ONE DOT LEADER}\N{ONE DOT LEADER}",
        "~/x",
        "$HOME/x",
        "%2e%2e/x",
        ".filestore/lock",
        "Cat/" + "a" * 129,
        "C" * 300 + "/a",
        "x" * 1_000_000,
    ],
    ids=lambda link: ascii(link)[:40],
)
def test_links_to_no_path_of_a_record(link):
    spelled = link.replace("\\", "\\\\").replace("\\\\n", "\\n").replace("\\\\u", "\\u")
    data = f'{{"likes": ["Cat/a",\n"{spelled}"]}}'.encode()
    refused(decode_links, data, line=2, match=r"is not the path of a record \(Model/uid\)")


def test_relationship_indexes_are_records_files_too():
    refused(decode_links, b"", line=1, match="is empty")
    refused(decode_links, b'["Cat/a"]', line=1, match="holds a list")
    refused(decode_links, b'{"a": [],\n"a": []}', line=2, match="second time")


# -- time series -----------------------------------------------------------------------------------

ONE = b'{"timestamp":0.0,"value":4.1}\n'
TWO = b'{"timestamp":3600.0,"value":4.2}\n'
POINTS = [{"timestamp": 0.0, "value": 4.1}, {"timestamp": 3600.0, "value": 4.2}]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(ONE + TWO, id="canonical"),
        pytest.param((ONE + TWO).removesuffix(b"\n"), id="no final newline"),
        pytest.param(b"\n" + ONE + b"\n \t\n" + TWO + b"\n\n", id="blank lines"),
        pytest.param((ONE + TWO).replace(b"\n", b"\r\n"), id="CRLF"),
        pytest.param(b'{"value": 4.1, "timestamp": 0.0}\n' + TWO, id="spaces and order"),
    ],
)
def test_a_series_as_people_write_it(data):
    assert same(decode_points(data, PATH), POINTS)


def test_an_empty_series_is_one_empty_line_and_not_an_empty_file():
    assert encode_points([]) == b"\n"
    assert decode_points(b"\n", PATH) == []
    assert decode_points(b"\r\n", PATH) == []
    refused(decode_points, b"", line=1, match="is empty, as a power loss")


def test_integers_of_a_hand_written_series_are_exact():
    data = b'{"timestamp": 1, "value": 18446744073709551616}\n' + ONE
    assert same(decode_points(data, PATH), [{"timestamp": 1, "value": 2**64}, POINTS[0]])


@pytest.mark.parametrize(
    ("bad", "match"),
    [
        pytest.param(b"\0\0\0", "no valid JSON", id="NUL bytes"),
        pytest.param(b'{"timestamp":1.0,"val', "no valid JSON", id="torn"),
        pytest.param(b"x", "no valid JSON", id="text"),
        pytest.param(b'{"timestamp":1.0,"value":"\xff"}', "not UTF-8", id="not UTF-8"),
        pytest.param(b'{"timestamp":1.0,"value":1e999}', "no valid JSON", id="1e999"),
        pytest.param(b'{"timestamp":NaN,"value":1}', "no valid JSON", id="NaN"),
        pytest.param(b'{"timestamp":1.0,"value":1,"value":1}', "second time", id="key twice"),
        pytest.param(
            b'{"timestamp":1.0,"value":{"a":1,"a":1}}', "second time", id="deep key twice"
        ),
        pytest.param(b'{"timestamp":1.0,"value":1,"unit":"g"}', "is no point", id="extra key"),
        pytest.param(b'{"timestamp":1.0}', "is no point", id="no value"),
        pytest.param(b'{"value":1.0}', "is no point", id="no timestamp"),
        pytest.param(b"{}", "is no point", id="empty object"),
        pytest.param(b"[1.0,4.1]", "is no point", id="list"),
        pytest.param(b"null", "is no point", id="null"),
        pytest.param(b"4.1", "is no point", id="number"),
        pytest.param(b'"timestamp"', "is no point", id="text value"),
        pytest.param(b'{"timestamp":"1.0","value":1}', "a text for 'timestamp'", id="text time"),
        pytest.param(b'{"timestamp":true,"value":1}', "a boolean for 'timestamp'", id="bool time"),
        pytest.param(b'{"timestamp":null,"value":1}', "null for 'timestamp'", id="null time"),
        pytest.param(b'{"timestamp":[],"value":1}', "a list for 'timestamp'", id="list time"),
        pytest.param(b'{"timestamp":1.0,"value":1}{"timestamp":2.0,"value":1}', "JSON", id="two"),
        pytest.param(
            b'{"timestamp":1.0,"value":1},{"timestamp":2.0,"value":1}', "JSON", id="comma"
        ),
        pytest.param(b'{"timestamp":1.0,"value":1},', "JSON", id="comma behind"),
        pytest.param(b'{"timestamp":1.0,\n"value":1}', "JSON", id="over two lines"),
        pytest.param(b'{"timestamp":1.0\n"value":1}', "JSON", id="newline for a comma"),
        pytest.param(b'{"timestamp":1.0,"value":[1\n2]}', "JSON", id="newline in a list"),
        pytest.param(
            b'{"timestamp":1.0\n"value":1},{"timestamp":2.0,"value":1}', "JSON", id="even"
        ),
        pytest.param(b"[" * 100_000, "no valid JSON", id="100,000 brackets"),
        pytest.param(
            b'{"timestamp":1.0,"value":' + b"[" * 254 + b"]" * 254 + b"}", "deeper", id="255 levels"
        ),
    ],
)
@pytest.mark.parametrize(
    ("before", "after"), [(b"", b"\n"), (ONE + TWO, b"\n" + ONE), (ONE + b"\n", b"")]
)
def test_the_line_of_a_bad_point(bad, match, before, after):
    refused(decode_points, before + bad + after, line=before.count(b"\n") + 1, match=match)


def test_a_list_of_points_is_no_series():
    refused(decode_points, b'[{"timestamp":0.0,"value":4.1}]\n', line=1, match="is no point")
    refused(decode_points, b'[\n{"timestamp":0.0,"value":4.1}\n]\n', line=1, match="no valid JSON")


# -- size ------------------------------------------------------------------------------------------

SIZE = 50 << 20
LONG_LINES = [
    (decode_points, b'{"timestamp":0.0,"value":"', b"", "line 1: is no valid JSON"),
    (decode_document, b'{"a":1,"a":"', b'"}', "line 1: has the key 'a' a second time"),
    (decode_links, b'{"a":["', b'"]}', "line 1: has a wrong link in 'a'"),
]


def read_long_lines() -> None:
    """Run in a process of its own, whose memory is measured."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for read, start, end, expected in LONG_LINES:
        begun = time.process_time()
        error = error_of(read, start + b"a" * SIZE + end)
        said = str(error)
        assert expected in said
        assert len(said) < 300
        assert time.process_time() - begun < 10
    used = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
    assert used < 10 * SIZE


def test_a_line_of_50_megabytes_takes_bounded_time_and_memory():
    program = "from tests.test_documents import read_long_lines as run; run(); print('done')"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


def error_of(read, data: bytes) -> CorruptFileError | None:
    """What `read` raises at these bytes, if anything."""
    try:
        read(data, PATH)
    except CorruptFileError as error:
        return error
    return None


json_like = st.text('{}[]":,\\ntimesapvlu01.e- \n<>', max_size=60).map(str.encode)


@reproducible
@given(st.binary(max_size=60) | json_like)
def test_any_bytes_are_read_or_refused_with_a_line(data):
    for read in (decode_document, decode_links, decode_points):
        error = error_of(read, data)
        if error is not None:
            assert error.path == PATH
            assert error.line in range(1, data.count(b"\n") + 2)
