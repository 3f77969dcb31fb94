"""`filestore put`, `rm`, `link`, `unlink` and the renamings: the exact bytes they leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from filestore.disk import layout
from tests.command import files, out, run
from tests.directories import records, write

if TYPE_CHECKING:
    from pathlib import Path

TOM = '{\n  "age": 3,\n  "model_name": "Cat",\n  "name": "Tom"\n}\n'
LISA = '{\n  "model_name": "Human",\n  "name": "Lisa"\n}\n'
LINKS = '{\n  "carer": [\n    "Human/lisa"\n  ]\n}\n'
WEIGHT = '{"timestamp":0.0,"value":4.1}\n'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A cat and its carer."""
    root = tmp_path / "data"
    out("init", root)
    (root / "Cat").mkdir()
    (root / "Human").mkdir()
    (root / "Cat/tom.json").write_text(TOM)
    (root / "Cat/tom.rels.json").write_text(LINKS)
    (root / "Cat/tom.weight.jsonl").write_text(WEIGHT)
    (root / "Human/lisa.json").write_text(LISA)
    return root


def fails(root: Path, *args: str, stdin: str | None = None) -> str:
    """What a command says that ends with status 1, having changed no record."""
    before = records(root)
    done = run(args[0], root, *args[1:], stdin=stdin)
    assert (done.status, done.out) == (1, "")
    assert records(root) == before
    return done.err.removeprefix("filestore: ").removesuffix("\n").replace(str(root), "data")


def misused(root: Path, *args: str, stdin: str | None = None) -> str:
    """What a command says that was given wrongly."""
    before = records(root)
    done = run(args[0], root, *args[1:], stdin=stdin)
    assert (done.status, done.out) == (2, "")
    assert records(root) == before
    return done.err.splitlines()[-1].removeprefix("Error: ")


# -- put -------------------------------------------------------------------------------------------


def test_put_changes_one_property_and_one_line(root: Path) -> None:
    assert out("put", root, "Cat/tom", "age=4") == "Cat/tom\n"

    assert files(root) == {
        "Cat/tom.json": TOM.replace("3", "4"),
        "Cat/tom.rels.json": LINKS,
        "Cat/tom.weight.jsonl": WEIGHT,
        "Human/lisa.json": LISA,
    }


def test_put_writes_values_of_all_kinds(root: Path) -> None:
    out(
        *("put", root, "Cat/tom", "age=null", "name=Tom Cat", 'text="3"', "list=[1,2]", "empty="),
        *("number=1.50", "huge=123456789012345678901234567890", "nan=NaN", "broken={", "a=b=c"),
    )

    assert files(root)["Cat/tom.json"] == (
        '{\n  "a": "b=c",\n  "age": null,\n  "broken": "{",\n  "empty": "",\n'
        '  "huge": 123456789012345678901234567890,\n  "list": [\n    1,\n    2\n  ],\n'
        '  "model_name": "Cat",\n  "name": "Tom Cat",\n  "nan": "NaN",\n  "number": 1.5,\n'
        '  "text": "3"\n}\n'
    )


def test_put_makes_a_record(root: Path) -> None:
    assert out("put", root, "Cat/kim", "name=Kim") == "Cat/kim\n"

    assert files(root)["Cat/kim.json"] == '{\n  "model_name": "Cat",\n  "name": "Kim"\n}\n'


def test_put_chooses_a_uid(root: Path) -> None:
    directory, _, uid = out("put", root, "Job[int]").strip().partition("/")

    assert directory == "Job%5Bint%5D"
    assert len(uid) == 36
    assert files(root)[f"{directory}/{uid}.json"] == '{\n  "model_name": "Job[int]"\n}\n'


def test_put_reads_stdin(root: Path) -> None:
    out("put", root, "Cat/tom", "-", "name=Tim", stdin='{"age": 5, "name": "X"}')

    assert files(root)["Cat/tom.json"] == TOM.replace("3", "5").replace("Tom", "Tim")


def test_put_replaces_and_unsets(root: Path) -> None:
    out("put", root, "Cat/tom", "--unset", "age")
    assert files(root)["Cat/tom.json"] == TOM.replace('  "age": 3,\n', "")

    out("put", root, "Cat/tom", "--replace", "x=1")
    assert files(root)["Cat/tom.json"] == '{\n  "model_name": "Cat",\n  "x": 1\n}\n'


def test_put_adds_no_model_name_to_a_record_without(root: Path) -> None:
    write(root / "Cat/kim.json", {"name": "Kim"})
    out("put", root, "Cat/kim", "age=1")

    assert files(root)["Cat/kim.json"] == '{\n  "age": 1,\n  "name": "Kim"\n}\n'


def test_put_that_changes_nothing_touches_no_file(root: Path) -> None:
    before = records(root)
    out("put", root, "Cat/tom", "age=3")

    assert records(root) == before


def test_put_refuses(root: Path) -> None:
    assert misused(root, "put", "Cat/tom", "model_name=Dog") == (
        "model_name follows from the directory: use rename-model"
    )
    assert misused(root, "put", "Cat/tom", "age").startswith("'age' is no property: ")
    assert fails(root, "put", "Cat/tom", "--unset", "size") == "Cat/tom has no property 'size'"
    assert fails(root, "put", "Cat/lisa", "name=Lisa") == (
        "uid lisa is that of Human/lisa: choose another"
    )
    assert fails(root, "put", "Cat/tom", "-", stdin="[]") == (
        "<stdin>, line 1: holds a list: it should hold an object {…}"
    )
    assert fails(root, "put", "Cat/a b", "age=3").startswith("'a b' cannot be a uid")
    assert "cannot name a model directory" in fails(root, "put", "x" * 300)


def test_put_does_not_take_over_what_a_record_left(root: Path) -> None:
    (root / "Cat/kim.rels.json").write_text(LINKS)
    (root / "Cat/zoe.weight.jsonl").write_text(WEIGHT)

    for uid in ("kim", "zoe"):
        assert fails(root, "put", f"Cat/{uid}", "age=1") == (
            f"Cat/{uid} has files without a record: repair the directory first"
        )


def test_put_makes_no_directory(root: Path) -> None:
    done = run("put", root.parent / "dta", "Cat/tom", "age=4")

    assert done.status == 1
    assert "is no directory: give the path of a data directory" in done.err
    assert not (root.parent / "dta").exists()


# -- link, unlink ----------------------------------------------------------------------------------


def test_link_adds_one_line(root: Path) -> None:
    out("put", root, "Human/bart", "name=Bart")
    assert out("link", root, "tom", "carer", "bart", "Human/lisa") == ""

    assert files(root)["Cat/tom.rels.json"] == LINKS.replace('"\n  ]', '",\n    "Human/bart"\n  ]')
    out("link", root, "Human/bart", "cats", "tom")
    assert files(root)["Human/bart.rels.json"] == '{\n  "cats": [\n    "Cat/tom"\n  ]\n}\n'


def test_link_to_nothing_is_refused(root: Path) -> None:
    text = "there is no record 'Human/bart' in data: ls shows what is there"

    assert fails(root, "link", "tom", "carer", "lisa", "Human/bart") == text
    assert fails(root, "link", "Human/bart", "carer", "lisa") == text


def test_unlink_leaves_the_relationship(root: Path) -> None:
    assert out("unlink", root, "tom", "carer", "lisa") == ""

    assert files(root)["Cat/tom.rels.json"] == '{\n  "carer": []\n}\n'


def test_unlink_removes_a_link_to_nowhere(root: Path) -> None:
    (root / "Human/lisa.json").unlink()
    out("unlink", root, "Cat/tom", "carer", "Human/lisa")

    assert files(root)["Cat/tom.rels.json"] == '{\n  "carer": []\n}\n'


def test_unlink_of_no_link_is_refused(root: Path) -> None:
    assert fails(root, "unlink", "tom", "vet", "lisa") == (
        "Cat/tom has no link 'vet' to 'lisa': show lists those that it has"
    )


# -- rm --------------------------------------------------------------------------------------------


def test_rm_removes_all_files_of_a_record(root: Path) -> None:
    assert out("rm", root, "tom") == "removed Cat/tom\n"

    assert files(root) == {"Human/lisa.json": LISA}


def test_rm_refuses_while_others_link(root: Path) -> None:
    assert fails(root, "rm", "lisa") == (
        "links of Cat/tom lead to what would be removed: give --unlink to remove these links, too"
    )
    for name in "abcd":
        write(root / f"Cat/{name}.json", {})
        write(root / f"Cat/{name}.rels.json", {"vet": ["Human/lisa"]})
    assert "links of Cat/a, Cat/b, Cat/c and 2 more lead" in fails(root, "rm", "lisa")


def test_rm_unlinks(root: Path) -> None:
    assert out("rm", root, "lisa", "--unlink") == (
        "removed Human/lisa\nremoved 1 link to what is gone\n"
    )

    assert files(root)["Cat/tom.rels.json"] == '{\n  "carer": []\n}\n'
    assert out("check", root) == ""


def test_rm_of_records_that_link_to_each_other(root: Path) -> None:
    assert out("rm", root, "lisa", "tom") == "removed Human/lisa\nremoved Cat/tom\n"
    assert files(root) == {}


def owning(root: Path, **members: list[str]) -> None:
    """Records of Part, each with its members in `parts`."""
    for uid, parts in members.items():
        write(root / f"Part/{uid}.json", {})
        write(root / f"Part/{uid}.rels.json", {"parts": [f"Part/{part}" for part in parts]})


def left(root: Path) -> list[str]:
    return [record["uid"] for record in run("ls", root, "Part", "--json").json]


def test_rm_with_members(root: Path) -> None:
    owning(root, a=["b", "c"], b=["d"], c=[], d=[], e=["c"])

    out("rm", root, "a", "--with", "parts")

    assert left(root) == ["c", "e"]
    assert "FS2" not in run("check", root).out


def test_rm_with_members_in_a_ring(root: Path) -> None:
    owning(root, a=["b"], b=["c", "gone"], c=["b", "a"])

    out("rm", root, "a", "--with", "parts")
    assert left(root) == []


def test_rm_spares_what_belongs_to_a_spared_member(root: Path) -> None:
    owning(root, a=["b"], b=["c"], c=[], x=["b"])

    out("rm", root, "a", "--with", "parts")
    assert left(root) == ["b", "c", "x"]


def test_rm_without_with_removes_no_members(root: Path) -> None:
    owning(root, a=["b"], b=[])

    out("rm", root, "a")
    assert left(root) == ["b"]


def test_rm_refuses_if_an_index_that_names_it_cannot_be_read(root: Path) -> None:
    (root / "Cat/tom.rels.json").write_text("<<<<<<< ours\n" + LINKS)

    assert "holds the conflict markers" in fails(root, "rm", "lisa", "--unlink")


# -- rename-model ----------------------------------------------------------------------------------


def test_rename_model_renames_directory_records_and_links(root: Path) -> None:
    write(root / "Human/lisa.rels.json", {"cats": ["Cat/tom", "Human/lisa"]})
    write(root / "Cat/kim.json", {"name": "Kim"})
    assert out("rename-model", root, "Cat", "Job[cat]") == "2 records renamed, 1 link changed\n"

    assert files(root) == {
        "Human/lisa.json": LISA,
        "Human/lisa.rels.json": (
            '{\n  "cats": [\n    "Job%5Bcat%5D/tom",\n    "Human/lisa"\n  ]\n}\n'
        ),
        "Job%5Bcat%5D/kim.json": '{\n  "model_name": "Job[cat]",\n  "name": "Kim"\n}\n',
        "Job%5Bcat%5D/tom.json": TOM.replace('"Cat"', '"Job[cat]"'),
        "Job%5Bcat%5D/tom.rels.json": LINKS,
        "Job%5Bcat%5D/tom.weight.jsonl": WEIGHT,
    }
    assert not (root / "Cat").exists()


def test_rename_model_renames_links_within_it(root: Path) -> None:
    write(root / "Human/lisa.rels.json", {"friends": ["Human/lisa"]})
    assert out("rename-model", root, "Human", "Person") == "1 record renamed, 2 links changed\n"

    assert files(root)["Person/lisa.rels.json"] == LINKS.replace("Human", "Person").replace(
        "carer", "friends"
    )
    assert files(root)["Cat/tom.rels.json"] == LINKS.replace("Human", "Person")
    assert out("check", root) == ""


def test_rename_model_keeps_other_files(root: Path) -> None:
    (root / "Cat/README.md").write_text("Cats")
    out("rename-model", root, "Cat", "Feline")

    assert (root / "Cat/README.md").read_text() == "Cats"


def test_rename_model_merges_when_told_to(root: Path) -> None:
    write(root / "Feline/kim.json", {})
    assert fails(root, "rename-model", "Cat", "Feline") == (
        "'Feline' has records already: give --merge to add these to them"
    )

    assert out("rename-model", root, "Cat", "Feline", "--merge").startswith("1 record renamed")
    assert files(root)["Feline/kim.json"] == "{}"


def test_rename_model_refuses(root: Path) -> None:
    assert misused(root, "rename-model", "Cat", "Cat") == "the two names are the same"
    assert fails(root, "rename-model", "Dog", "Cat") == (
        "there is no record of 'Dog': ls shows what is there"
    )
    write(root / "Human/tom.json", {})
    assert fails(root, "rename-model", "Cat", "Human", "--merge") == (
        "Human/tom is there already: rename one of them; nothing was changed"
    )


@pytest.mark.parametrize("name", ["Cat/tom.json", "Cat/tom.rels.json", "Cat/tom.weight.jsonl"])
def test_rename_model_refuses_what_it_cannot_read(root: Path, name: str) -> None:
    (root / name).write_text("[")

    assert f"data/{name}, line 1: is no valid JSON" in fails(root, "rename-model", "Cat", "Feline")


def test_rename_model_refuses_links_that_it_cannot_read(root: Path) -> None:
    (root / "Cat/tom.rels.json").write_text("[")

    assert "is no valid JSON" in fails(root, "rename-model", "Human", "Person")


# -- rename-property -------------------------------------------------------------------------------


def test_rename_property(root: Path) -> None:
    write(root / "Cat/kim.json", {"size": 1})
    assert out("rename-property", root, "Cat,Human", "name", "title") == "2 records changed\n"

    assert files(root)["Cat/tom.json"] == TOM.replace('"name"', '"title"')
    assert files(root)["Human/lisa.json"] == LISA.replace('"name"', '"title"')
    assert files(root)["Cat/kim.json"] == '{"size":1}'


def test_rename_relationship(root: Path) -> None:
    out("rename-property", root, "Cat", "carer", "owner")

    assert files(root)["Cat/tom.rels.json"] == LINKS.replace("carer", "owner")


def test_rename_series(root: Path) -> None:
    out("rename-property", root, "Cat", "weight", "mass (kg)")

    assert files(root)["Cat/tom.mass%20%28kg%29.jsonl"] == WEIGHT
    assert "Cat/tom.weight.jsonl" not in files(root)


def test_rename_property_refuses(root: Path) -> None:
    assert fails(root, "rename-property", "Cat", "size", "length") == (
        "no record of Cat has 'size'"
    )
    for old, new in (("name", "age"), ("name", "carer"), ("carer", "weight"), ("weight", "age")):
        assert fails(root, "rename-property", "Cat", old, new) == (
            f"Cat/tom has {new!r} already: rename that first; nothing was changed"
        )
    assert misused(root, "rename-property", "Cat", "age", "age") == "the two names are the same"
    for names in (("model_name", "x"), ("age", "model_name")):
        assert misused(root, "rename-property", "Cat", *names) == (
            "model_name follows from the directory: use rename-model"
        )
    (root / "Cat/tom.weight.jsonl").write_text("[")
    assert "is no valid JSON" in fails(root, "rename-property", "Cat", "weight", "mass")


# -- all of them -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "args",
    [
        ["put", "Cat/tom", "age=4"],
        ["link", "tom", "carer", "lisa"],
        ["unlink", "tom", "carer", "lisa"],
        ["rm", "tom"],
        ["rename-model", "Cat", "Dog"],
        ["rename-property", "Cat", "age", "years"],
    ],
    ids=lambda args: args[0],
)
def test_writes_exclude_each_other(
    root: Path, args: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from filelock import FileLock

    from filestore.cli import directory

    monkeypatch.setattr(directory, "_LOCK_TIMEOUT", 0.01)
    with FileLock(root / layout.LOCK):
        assert "and was not released within 0.01 s" in fails(root, *args)


def test_put_into_a_directory_that_was_written_by_hand(tmp_path: Path) -> None:
    write(tmp_path / "Cat/tom.json", {"name": "Tom"})
    out("put", tmp_path, "Cat/tom", "age=3")

    assert files(tmp_path)["Cat/tom.json"] == '{\n  "age": 3,\n  "name": "Tom"\n}\n'
    assert (tmp_path / "filestore.json").is_file()
