"""`diff` and `log`: what changed, by record, property, link and point."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from filestore import GitError, InvalidUidError, RecordNotFoundError
from filestore.cli import diff, log
from filestore.comparison import ABSENT, Change
from filestore.disk.files import Files
from filestore.disk.git import Git
from filestore.disk.layout import Key
from filestore.disk.revision import Revision
from filestore.parts import Moment
from filestore.versions import compare
from tests.repositories import Repository

if TYPE_CHECKING:
    from pathlib import Path

TOM = Key("Cat", "tom")


def put(root: Path, **files: Any) -> None:
    """Write files of the record Cat/tom; None removes one."""
    suffixes = {"properties": ".json", "links": ".rels.json", "weight": ".weight.jsonl"}
    (root / "Cat").mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = root / "Cat" / f"tom{suffixes[name]}"
        if content is None:
            path.unlink()
        elif isinstance(content, str):
            path.write_text(content)
        elif name == "weight":
            lines = [json.dumps({"timestamp": t, "value": v}) + "\n" for t, v in content]
            path.write_text("".join(lines) or "\n")
        else:
            path.write_text(json.dumps(content, indent=2))


def changes(tmp_path: Path, before: dict[str, Any], after: dict[str, Any]) -> list[Change]:
    put(tmp_path / "a", properties={}, **before)
    put(tmp_path / "b", **{"properties": {}, **after})
    found = list(compare(Files(str(tmp_path / "a")), Files(str(tmp_path / "b"))))
    assert [record.key.link for record in found] == ["Cat/tom"] * bool(found)
    return found[0].changes if found else []


def run(command: Any, *arguments: str) -> str:
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


# -- what differs ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (
            {},
            {"properties": {"age": None, "name": "Tom"}},
            [
                Change("property", TOM, "age", ABSENT, None),
                Change("property", TOM, "name", ABSENT, "Tom"),
            ],
        ),
        (
            {"links": {"likes": ["Food/a", "Food/b"]}},
            {"links": {"likes": ["Food/b", "Food/c"]}},
            [
                Change("link", TOM, "likes", "Food/a", ABSENT, "Food/a"),
                Change("link", TOM, "likes", ABSENT, "Food/c", "Food/c"),
            ],
        ),
        (
            {"links": {"likes": ["Food/a", "Food/b"]}},
            {"links": {"likes": ["Food/b", "Food/a"]}},
            [Change("relationship", TOM, "likes", ["Food/a", "Food/b"], ["Food/b", "Food/a"])],
        ),
        (
            {"links": {"likes": ["Food/a", "Food/b"]}},
            {"links": {"likes": ["Food/b", "Food/c", "Food/a"]}},
            [
                Change("link", TOM, "likes", ABSENT, "Food/c", "Food/c"),
                Change("relationship", TOM, "likes", ["Food/a", "Food/b"], ["Food/b", "Food/a"]),
            ],
        ),
        (
            {"links": {"a": ["B/c"], "b": []}},
            {"links": {"a": ["B/c"]}},
            [Change("relationship", TOM, "b", [], ABSENT)],
        ),
        ({"links": {}}, {"links": {"a": []}}, [Change("relationship", TOM, "a", ABSENT, [])]),
        (
            {"weight": [(0, 1), (1, 2)]},
            {"weight": [(0, 1), (1, 3), (1, 4)]},
            [
                Change("point", TOM, "weight", 2, 3, Moment(1.0, 0)),
                Change("point", TOM, "weight", ABSENT, 4, Moment(1.0, 1)),
            ],
        ),
        ({}, {"weight": []}, [Change("series", TOM, "weight", ABSENT, [])]),
        (
            {"weight": [(0, 1)]},
            {"weight": []},
            [Change("point", TOM, "weight", 1, ABSENT, Moment(0.0, 0))],
        ),
        (
            {"weight": [(0, 1), (1, 2)]},
            {"weight": [(1, 2), (0, 1)]},
            [
                Change(
                    "series",
                    TOM,
                    "weight",
                    [{"timestamp": 0, "value": 1}, {"timestamp": 1, "value": 2}],
                    [{"timestamp": 1, "value": 2}, {"timestamp": 0, "value": 1}],
                )
            ],
        ),
        ({"links": {}}, {"links": '{"a": 1}'}, None),
        ({"weight": [(0, 1)]}, {"weight": '{"timestamp":0.0, "value":1}\n'}, []),
        ({"links": {"a": ["B/c"]}}, {"links": {"a": ["B/c"]}}, []),
        (
            {},
            {"properties": {"big": 2**80}},
            [Change("property", TOM, "big", ABSENT, 2**80)],
        ),
    ],
)
def test_each_difference_is_named(
    tmp_path: Path,
    before: dict[str, Any],
    after: dict[str, Any],
    expected: list[Change] | None,
) -> None:
    found = changes(tmp_path, before, after)
    if expected is None:
        (change,) = found
        assert (change.kind, change.field) == ("file", "Cat/tom.rels.json")
        assert "it should be a list of links" in change.new
    else:
        assert found == expected


def test_other_files_are_no_records(tmp_path: Path) -> None:
    put(tmp_path / "a", properties={})
    put(tmp_path / "b", properties={})
    (tmp_path / "b" / "Cat" / "README").write_text("x")
    (tmp_path / "b" / "filestore.json").write_text("{}")
    assert list(compare(Files(str(tmp_path / "a")), Files(str(tmp_path / "b")))) == []


# -- diff ------------------------------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Three commits of a record that is born, grows up and goes; another one comes."""
    repository = Repository(tmp_path)
    data = tmp_path / "data"
    put(data, properties={"age": 3}, links={"carer": ["Human/a"]}, weight=[(0, 4.0)])
    repository.commit("Born")
    put(data, properties={"age": 4}, links={"carer": ["Human/b"]}, weight=[(0, 4.0), (1, 5.0)])
    repository.commit("A birthday")
    put(data, properties=None, links=None, weight=None)
    (data / "Cat" / "kit.json").write_text('{"name": "\\u001b[31mKit\\u009b"}')
    repository.commit("Gone")
    return repository


BIRTHDAY = """\
~ Cat/tom
    ~ age: 3 -> 4
    - carer: Human/a
    + carer: Human/b
    + weight at 1.0: 5.0
"""
GONE = """\
+ Cat/kit
    + name: "\\u001b[31mKit\\u009b"
- Cat/tom
    - age: 4
    - carer: Human/b
    - weight at 0.0: 4.0
    - weight at 1.0: 5.0
"""


def test_diff_of_two_revisions(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    data = str(repository.root / "data")
    assert run(diff.command, "HEAD~2", "HEAD~1", "-C", data) == BIRTHDAY
    assert run(diff.command, "HEAD~1", "HEAD", "-C", data) == GONE
    assert run(diff.command, "HEAD", "HEAD", "-C", data) == ""
    assert run(diff.command, f"HEAD~2:{data}", "HEAD~1") == BIRTHDAY
    assert run(diff.command, ":/Born", f"HEAD~1:{data}") == BIRTHDAY
    monkeypatch.chdir(data)
    assert run(diff.command, "HEAD~2", "HEAD~1") == BIRTHDAY
    assert run(diff.command, "HEAD~2:", "HEAD~1:") == BIRTHDAY


def test_diff_of_a_revision_and_a_directory(repository: Repository) -> None:
    data = repository.root / "data"
    assert run(diff.command, "HEAD~1", str(data)) == GONE
    assert run(diff.command, str(data), "HEAD") == ""


def test_diff_of_two_directories(repository: Repository, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    shown = run(diff.command, str(repository.root / "data"), str(empty))
    assert shown == '- Cat/kit\n    - name: "\\u001b[31mKit\\u009b"\n'


def test_diff_for_programs(repository: Repository) -> None:
    data = str(repository.root / "data")
    (line,) = run(diff.command, "HEAD~2", "HEAD~1", "-C", data, "--json").splitlines()
    assert json.loads(line) == {
        "model": "Cat",
        "uid": "tom",
        "status": "changed",
        "changes": [
            {"kind": "property", "name": "age", "before": 3, "after": 4},
            {"kind": "link", "name": "carer", "item": "Human/a", "before": "Human/a"},
            {"kind": "link", "name": "carer", "item": "Human/b", "after": "Human/b"},
            {"kind": "point", "name": "weight", "item": "1.0", "after": 5.0},
        ],
    }


def test_diff_names_a_file_that_cannot_be_read(repository: Repository) -> None:
    data = repository.root / "data"
    (data / "Cat" / "kit.json").write_text("<<<<<<< ours\n=======\n>>>>>>> theirs\n")
    assert run(diff.command, "HEAD", str(data)) == (
        "~ Cat/kit\n    ! Cat/kit.json, line 1: holds the conflict markers of a git merge: "
        "resolve the conflict in this file\n"
    )


def test_diff_of_what_is_not_there(repository: Repository) -> None:
    data = str(repository.root / "data")
    with pytest.raises(GitError, match="'nothing' names no commit"):
        run(diff.command, "nothing", data)


def test_what_both_sides_share_is_not_read(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = repository.root / "data"
    (data / "Cat" / "rat.json").write_text("{}")
    repository.commit()
    (data / "Cat" / "kit.json").write_text("{}")
    repository.commit()
    git = Git(str(data))
    old, new = Revision(git, "HEAD~1"), Revision(git, "HEAD")
    read: list[str] = []
    system_read = Revision.read

    def note(self: Revision, name: str) -> bytes | None:
        read.append(name)
        return system_read(self, name)

    monkeypatch.setattr(Revision, "read", note)
    assert list(compare(old, old)) == []
    assert list(compare(new, Files(str(data)))) == []
    assert read == []
    assert [record.key.uid for record in compare(old, new)] == ["kit"]
    assert {*read} == {"Cat/kit.json"}


def test_a_file_that_is_none_hides_no_other(repository: Repository) -> None:
    data = repository.root / "data"
    (data / "Cat" / "mat.json").symlink_to("kit.json")
    (data / "Cat" / "rat.json").write_text("{}")
    shown = run(diff.command, "HEAD", str(data)).splitlines()
    assert shown[0] == "+ Cat/mat"
    assert shown[1].endswith(
        "mat.json is a symbolic link, where a regular file should be: move it away"
    )
    assert shown[2:] == ["+ Cat/rat"]


# -- log -------------------------------------------------------------------------------------------


def without_dates(output: str) -> str:
    """The output with each commit's line cut down to who and what."""
    lines = [
        line if line.startswith(" ") else line.split(" ", 2)[2] for line in output.splitlines()
    ]
    return "\n".join(lines)


def test_log_shows_the_history_of_a_record_by_property(repository: Repository) -> None:
    shown = without_dates(run(log.command, str(repository.root / "data"), "tom"))
    assert shown == (
        "Ann: Gone\n"
        "  - Cat/tom\n"
        "      - age: 4\n"
        "      - carer: Human/b\n"
        "      - weight at 0.0: 4.0\n"
        "      - weight at 1.0: 5.0\n"
        "Ann: A birthday\n"
        "  ~ Cat/tom\n"
        "      ~ age: 3 -> 4\n"
        "      - carer: Human/a\n"
        "      + carer: Human/b\n"
        "      + weight at 1.0: 5.0\n"
        "Ann: Born\n"
        "  + Cat/tom\n"
        "      + age: 3\n"
        "      + carer: Human/a\n"
        "      + weight at 0.0: 4.0"
    )


def test_log_for_programs(repository: Repository) -> None:
    output = run(log.command, str(repository.root / "data"), "Cat/tom", "--json")
    commits = [json.loads(line) for line in output.splitlines()]
    ids = repository.git("rev-list", "HEAD").split()

    assert [commit["commit"] for commit in commits] == ids
    assert [commit["subject"] for commit in commits] == ["Gone", "A birthday", "Born"]
    assert commits[1]["author"] == "Ann"
    assert commits[1]["records"][0]["changes"][0] == {
        "kind": "property",
        "name": "age",
        "before": 3,
        "after": 4,
    }


def test_log_leaves_out_what_did_not_change_the_record(repository: Repository) -> None:
    data = repository.root / "data"
    (data / "Cat" / "kit.json").write_text('{\n  "name": "\\u001b[31mKit\\u009b"\n}\n')
    repository.commit("Another format")
    (data / "Cat" / "kitten.json").write_text("{}")
    repository.commit("Another record")
    assert without_dates(run(log.command, str(data), "kit")).splitlines()[0] == "Ann: Gone"


def test_log_of_a_merge_shows_what_only_the_merge_made(repository: Repository) -> None:
    data = repository.root / "data"
    put(data, properties={"age": 1, "name": "Tom", "toy": "ball", "zone": 1})
    repository.commit("Back")
    repository.branch("theirs")
    put(data, properties={"age": 2, "name": "Tom", "toy": "ball", "zone": 1})
    repository.commit("Theirs")
    repository.switch("main")
    put(data, properties={"age": 1, "name": "Tom", "toy": "ball", "zone": 2})
    repository.commit("Ours")
    repository.merge("theirs", "--no-commit")
    put(data, properties={"age": 2, "name": "Tim", "toy": "ball", "zone": 2})
    repository.commit("Both")

    shown = without_dates(run(log.command, str(data), "tom"))
    assert shown.startswith('Ann: Both\n  ~ Cat/tom\n      ~ name: "Tom" -> "Tim"\nAnn: ')
    assert "  ~ Cat/tom\n      ~ age: 1 -> 2\n" in shown
    assert "  ~ Cat/tom\n      ~ zone: 1 -> 2\n" in shown


def test_log_follows_a_record_to_another_model(repository: Repository) -> None:
    data = repository.root / "data"
    (data / "Pet").mkdir()
    (data / "Cat" / "kit.json").rename(data / "Pet" / "kit.json")
    repository.commit("Renamed")
    shown = without_dates(run(log.command, str(data), "kit")).splitlines()
    assert shown[0] == "Ann: Renamed"
    assert [line for line in shown[1:5] if "kit" in line] == ["  - Cat/kit", "  + Pet/kit"]
    assert "Cat/kit" not in run(log.command, str(data), "Pet/kit")


def test_hostile_subjects_stay_text(repository: Repository) -> None:
    data = repository.root / "data"
    put(data, properties={"age": 1})
    repository.commit("\x1b[31mred\x07")
    assert "\x1b" not in run(log.command, str(data), "tom")
    assert "\\u001b[31mred\\u0007" in run(log.command, str(data), "tom")


@pytest.mark.parametrize("uid", ["nobody", "Dog/tom"])
def test_log_of_no_record(repository: Repository, uid: str) -> None:
    with pytest.raises(RecordNotFoundError, match=f"no commit has a record {uid} in"):
        run(log.command, str(repository.root / "data"), uid)


def test_log_of_no_uid(repository: Repository) -> None:
    with pytest.raises(InvalidUidError):
        run(log.command, str(repository.root / "data"), "*")


def test_log_without_a_commit(tmp_path: Path) -> None:
    Repository(tmp_path)
    with pytest.raises(GitError, match=r"git log failed in .*does not have any commits yet"):
        run(log.command, str(tmp_path), "tom")
