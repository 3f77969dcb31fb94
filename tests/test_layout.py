"""Names: which uids, model names and property names become which files, and back."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from filestore.disk import layout
from filestore.disk.layout import Key
from filestore.errors import InvalidUidError, ModelMismatchError, UnsupportedValueError

reproducible = settings(derandomize=True, deadline=None, max_examples=60)

# Short enough for a directory name, whatever the letters: each takes at most 12 characters there.
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
awkward_names = names | st.sampled_from(
    [
        ".",
        "..",
        "a/b",
        "../x",
        "/etc/passwd",
        "con",
        "x.",
        " ",
        "%",
        "%2F",
        "\0",
        "a\n",
        "~",
        "A.json",
    ]
)
uids = st.from_regex(r"[A-Za-z0-9_-]{1,128}", fullmatch=True)

BAD_UIDS = [
    "",
    "a\n",
    "\na",
    "a b",
    "a.b",
    "a/b",
    "a\\b",
    "..",
    ".",
    "/etc/passwd",
    "a\0",
    "\N{FULLWIDTH LATIN SMALL LETTER A}",
    "\N{CYRILLIC SMALL LETTER A}",
    "\N{ARABIC-INDIC DIGIT ONE}",
    "\N{SUPERSCRIPT TWO}",
    "caf\u00e9",
    "a\u200b",
    "a\N{HYPHEN}b",
    "a\N{FULLWIDTH LOW LINE}b",
    "\ud800",
    "a" * 129,
    None,
    7,
    b"a",
    ["a"],
]


@pytest.mark.parametrize("uid", ["a", "-", "_", "--", "A" * 128, "0", "con", "3f2b-91aa_X"])
def test_uids_that_can_name_a_record(uid):
    assert layout.is_uid(uid)
    assert layout.check_uid(uid) is uid


@pytest.mark.parametrize("uid", BAD_UIDS, ids=ascii)
def test_uids_that_cannot(uid):
    assert not layout.is_uid(uid)
    with pytest.raises(InvalidUidError, match="use 1 to 128 letters") as caught:
        layout.check_uid(uid)
    assert caught.value.uid == uid


def test_the_error_about_a_long_uid_is_short():
    with pytest.raises(InvalidUidError) as caught:
        layout.check_uid("x" * 1_000_000)
    assert len(str(caught.value)) < 200


def test_a_record_and_its_files():
    key = Key("Cat", "3f2b")
    assert key.link == "Cat/3f2b"
    assert key.properties == "Cat/3f2b.json"
    assert key.links == "Cat/3f2b.rels.json"
    assert key.series("weight") == "Cat/3f2b.weight.jsonl"


def test_what_is_no_letter_digit_or_underscore_is_percent_encoded():
    assert layout.directory_of("Job[int]") == "Job%5Bint%5D"
    assert layout.directory_of("caf\u00e9") == "caf%C3%A9"
    assert layout.directory_of("..") == "%2E%2E"
    assert Key("Cat", "a").series("\u6e29\u5ea6") == "Cat/a.%E6%B8%A9%E5%BA%A6.jsonl"
    assert Key("Cat", "a").series("a.b/c") == "Cat/a.a%2Eb%2Fc.jsonl"


@reproducible
@given(awkward_names)
def test_every_model_name_comes_back_from_its_directory(name):
    assert layout.model_of(layout.directory_of(name)) == name


@reproducible
@given(awkward_names)
def test_a_directory_name_is_a_plain_name(name):
    directory = layout.directory_of(name)
    assert directory.isascii()
    assert PurePosixPath(directory).parts == (directory,)
    assert not {"/", "\\", ".", "\0", "\n", " "} & set(directory)


@reproducible
@given(awkward_names, awkward_names)
@example("A", "a")
@example("caf\u00e9", "cafe\u0301")
@example("a/b", "a%2Fb")
@example("a%2Fb", "a%252Fb")
@example("x", "x.")
def test_distinct_models_have_distinct_directories(one, other):
    assume(one != other)
    assert layout.directory_of(one) != layout.directory_of(other)


@reproducible
@given(awkward_names, uids)
def test_links_lead_both_ways(model, uid):
    key = Key(model, uid)
    assert Key.from_link(key.link) == key


@reproducible
@given(awkward_names, uids, names)
def test_a_file_tells_whose_it_is_and_what_it_holds(model, uid, name):
    key = Key(model, uid)
    for path, uid_of, links_uid_of, series_of in [
        (key.properties, uid, None, None),
        (key.links, None, uid, None),
        (key.series(name[:10]), None, None, (uid, name[:10])),
    ]:
        directory, _, file_name = path.partition("/")
        assert layout.model_of(directory) == model
        assert layout.uid_of(file_name) == uid_of
        assert layout.links_uid_of(file_name) == links_uid_of
        assert layout.series_of(file_name) == series_of
        assert layout.key_of(path) == key


@pytest.mark.parametrize(
    "link",
    [
        "",
        "Cat",
        "Cat/",
        "/a",
        "Cat/a/b",
        "Cat//a",
        "/Cat/a",
        "../Cat/a",
        "Cat/..",
        "./a",
        "../a",
        "Cat/a\n",
        "Cat\n/a",
        "Cat/a.json",
        "Cat\\a",
        "C\u00e4t/a",
        "C\N{CYRILLIC SMALL LETTER A}t/a",
        "Cat\N{DIVISION SLASH}a",
        "Cat/\N{FULLWIDTH LATIN SMALL LETTER A}",
        "Job[int]/a",
        "Job%5bint%5d/a",
        "%43at/a",
        "C%/a",
        "%ED%A0%80/a",
        "%FF/a",
        "Cat/" + "a" * 129,
        "A" * 256 + "/a",
        "\udcff/a",
        ".filestore/lock",
    ],
    ids=ascii,
)
def test_what_is_no_link(link):
    with pytest.raises(ValueError, match=r"is not the path of a record \(Model/uid\)"):
        Key.from_link(link)


@pytest.mark.parametrize(
    "file_name",
    [
        "",
        ".json",
        ".rels.json",
        ".weight.jsonl",
        "a",
        "a.jsonl",
        "a..jsonl",
        "a.JSON",
        "a.json.bak",
        "a.json~",
        ".a.json.swp",
        "README.md",
        "a.b.json",
        "a.b.rels.json",
        "a.we ight.jsonl",
        "a.w%65ight.jsonl",
        "a.%FF.jsonl",
        "a.b.c.jsonl",
        "a b.json",
        "a\n.json",
        "a.json\n",
        "\udcff.json",
        "a.\udcff.jsonl",
        "a." + "b" * 121 + ".jsonl",
        "a" * 129 + ".json",
    ],
    ids=ascii,
)
def test_other_files_belong_to_nobody(file_name):
    assert layout.uid_of(file_name) is None
    assert layout.links_uid_of(file_name) is None
    assert layout.series_of(file_name) is None
    assert layout.key_of(f"Cat/{file_name}") is None


def test_a_series_may_be_called_like_another_kind_of_file():
    assert layout.series_of(PurePosixPath(Key("Cat", "a").series("rels")).name) == ("a", "rels")
    assert layout.series_of(PurePosixPath(Key("Cat", "a").series("json")).name) == ("a", "json")


def test_directories_that_are_no_model_s():
    others = [".git", ".filestore", "docs-old", "a b", "caf\u00e9", "%2e", "%", "", "A" * 256]
    assert [name for name in others if layout.model_of(name) is not None] == []


def test_the_longest_names_fit_a_file_system(tmp_path):
    key = Key("M" * 255, "u" * 128)
    (tmp_path / key.properties).parent.mkdir()
    for path in (key.properties, key.links, key.series("p" * 120)):
        (tmp_path / path).touch()
    assert layout.model_of("M" * 255) == "M" * 255
    assert layout.series_of(f"{key.uid}.{'p' * 120}.jsonl") == (key.uid, "p" * 120)


@pytest.mark.parametrize("model", ["", "M" * 256, "\u6e29" * 29, "a\ud800"], ids=ascii)
def test_model_names_that_no_directory_can_have(model):
    with pytest.raises(ModelMismatchError, match="cannot name a model directory") as caught:
        layout.directory_of(model)
    assert caught.value.model == model
    assert len(str(caught.value)) < 300
    with pytest.raises(ModelMismatchError):
        _ = Key(model, "a").properties


@pytest.mark.parametrize("name", ["", "p" * 121, "\u6e29" * 14, "a\udfff"], ids=ascii)
def test_property_names_that_no_file_can_have(name):
    with pytest.raises(UnsupportedValueError, match="cannot name a file of its time") as caught:
        Key("Cat", "a").series(name)
    assert (caught.value.model, caught.value.uid, caught.value.field) == ("Cat", "a", name)


NAMES = ["a.json", "a.rels.json", "a.b.json", ".json", "a.json\n", "ä.json", "a"]
SERIES = ["a.w.jsonl", "a.rels.jsonl", "a.%20.jsonl", "a.%zz.jsonl", "a.%41.jsonl"]
NO_SERIES = ["a..jsonl", "a.b.c.jsonl", "a.jsonl", "a.w.jsonl\n", "a.ä.jsonl"]


@pytest.mark.parametrize(
    "name",
    [
        *(*NAMES, "x" * 129 + ".json", "x" * 128 + ".json", "a.rels.rels.json"),
        *(*SERIES, *NO_SERIES, f"a.{'p' * 120}.jsonl", f"a.{'p' * 121}.jsonl"),
    ],
)
def test_a_file_of_a_record_is_what_one_of_the_three_kinds_is(name: str) -> None:
    kinds = (layout.uid_of, layout.links_uid_of, layout.series_of)
    assert layout.is_of_record(name) is any(kind(name) is not None for kind in kinds)
