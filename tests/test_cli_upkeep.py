"""`filestore init`, `check`, `repair`, `reindex` and `recover`: the exact output."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from uuid import UUID

import click
import pytest

from filestore import runtime
from filestore.cli import main
from filestore.disk import layout
from filestore.disk.files import Files
from filestore.disk.log import Log, Operation, digest
from tests.command import files, out, run
from tests.directories import records, write

TOM = b'{\n  "age": 3\n}\n'


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with one record, below the working directory."""
    monkeypatch.setattr(runtime, "_PATIENCE", 0.05)
    monkeypatch.chdir(tmp_path)
    out("init", "data")
    (tmp_path / "data/Cat").mkdir()
    (tmp_path / "data/Cat/tom.json").write_bytes(TOM)
    return tmp_path / "data"


def left_by_a_killed_process(root: Path, *operations: Operation) -> int:
    """Commit to the log, and apply nothing."""
    log = Log(Files(str(root)))
    marks = log.append(log.open(), list(operations), {"Cat": (root / "Cat").stat().st_mtime_ns})
    log.commit(marks)
    return marks.committed


# -- init ------------------------------------------------------------------------------------------


def test_init_makes_a_store(tmp_path: Path) -> None:
    root = tmp_path / "some" / "data"
    text = out("init", root, "--name", "cats")

    manifest = json.loads((root / "filestore.json").read_bytes())
    assert text == f"{root} is store cats ({UUID(manifest['uid'])})\n"
    assert (root / ".gitattributes").is_file()
    assert out("check", root) == ""
    again = out("init", root)
    assert again == text
    assert out("init", root, "--name", "dogs") == text.replace("cats", "dogs")


def test_init_keeps_records_that_are_there(tmp_path: Path) -> None:
    write(tmp_path / "Cat/tom.json", {"age": 3})
    out("init", tmp_path)

    assert files(tmp_path) == {"Cat/tom.json": '{"age":3}'}


def test_init_runs_git_setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    @click.argument("directory")
    def setup(directory: str) -> None:
        click.echo(f"set up {Path(directory, 'filestore.json').is_file()}")

    real = main.Commands.get_command

    def get_command(group: main.Commands, ctx: click.Context, name: str) -> click.Command | None:
        return setup if name == "git-setup" else real(group, ctx, name)

    monkeypatch.setattr(main.Commands, "get_command", get_command)

    assert out("init", tmp_path / "data", "--git").endswith("\nset up True\n")


def test_init_in_a_repository(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    out("init", tmp_path / "data", "--git")

    attributes = (tmp_path / "data" / ".gitattributes").read_text()
    assert "merge=filestore" in attributes
    assert out("check", tmp_path / "data") == ""


def test_init_without_git_setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(main.COMMANDS, "git-setup", raising=False)
    done = run("init", tmp_path / "data", "--git")

    assert done.status == 2
    assert "has no git-setup" in done.err
    assert not (tmp_path / "data").exists()


# -- check -----------------------------------------------------------------------------------------


def test_check_names_every_problem(root: Path) -> None:
    write(root / "Cat/kim.json", [])
    write(root / "Cat/zoe.rels.json", {})
    done = run("check", "data")

    assert (done.status, done.err) == (1, "")
    assert done.out.splitlines() == [
        "data/Cat/kim.json:1: FS103 holds a list: it should hold an object {…}",
        (
            "data/Cat/zoe.rels.json:1: FS204 is the relationship index of a record that is not "
            "there: restore Cat/zoe.json, or let repair take it away"
        ),
    ]


def test_check_as_json(root: Path) -> None:
    assert run("check", "data", "--json").json == []
    write(root / "Cat/kim.json", [])

    done = run("check", "data", "--json")
    assert done.status == 1
    assert done.json == [
        {
            "path": "data/Cat/kim.json",
            "line": 1,
            "code": "FS103",
            "text": "holds a list: it should hold an object {…}",
            "repairable": False,
        }
    ]


def test_check_of_several_directories(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(root.parent / "other/Cat/kim.json", [])
    write(root / "Cat/kim.json", [])
    monkeypatch.chdir(root)

    places = [line.split(" ")[0] for line in run("check", ".", "../other").out.splitlines()]
    assert places == ["Cat/kim.json:1:", "../other/Cat/kim.json:1:"]


def test_check_of_nothing(tmp_path: Path) -> None:
    assert run("check", tmp_path / "nothing").status == 1


# -- repair ----------------------------------------------------------------------------------------


def test_repair_after_a_dry_run(root: Path) -> None:
    write(root / "Cat/kim.json", {"a": 1})
    write(root / "Cat/bad.json", [])
    write(root / "Cat/zoe.rels.json", {})
    before = records(root)
    mended = [
        (
            "Cat/kim.json:1: FS104 is not in canonical form, so the next write of it changes more "
            "lines than it must: let repair rewrite it"
        ),
        (
            "Cat/zoe.rels.json:1: FS204 is the relationship index of a record that is not there: "
            "restore Cat/zoe.json, or let repair take it away"
        ),
    ]
    rest = [
        "Left for a person:",
        "Cat/bad.json:1: FS103 holds a list: it should hold an object {…}",
    ]

    done = run("repair", "data", "--dry-run")
    summary = "2 problems would be repaired, 1 would be left."
    assert (done.status, done.out.splitlines()) == (1, [*mended, *rest, summary])
    assert records(root) == before

    done = run("repair", "data")
    (kept,) = root.glob(".filestore/removed/*")
    summary = "2 problems repaired, 1 left. What was removed is kept in "
    summary += f"{kept.relative_to(root.parent)}."
    assert (done.status, done.out.splitlines()) == (1, [*mended, *rest, summary])
    assert json.loads(kept.read_bytes())["content"] == "{}"

    (root / "Cat/bad.json").unlink()
    assert out("repair", "data") == "0 problems repaired, 0 left.\n"


def test_repair_as_json(root: Path) -> None:
    write(root / "Cat/kim.json", {"a": 1})
    write(root / "Cat/zoe.rels.json", {})

    plan = run("repair", "data", "--dry-run", "--json").json
    done = run("repair", "data", "--json").json
    assert [problem["code"] for problem in done["repaired"]] == ["FS104", "FS204"]
    assert (plan["repaired"], plan["left"], plan["kept"]) == (done["repaired"], [], None)
    assert Path(done["kept"]).is_file()
    assert run("repair", "data", "--json").json == {"repaired": [], "left": [], "kept": None}


def test_repair_is_not_stopped_by_a_damaged_manifest(root: Path) -> None:
    (root / "filestore.json").write_text("{")
    write(root / "Cat/kim.json", {"a": 1})

    assert run("repair", "data").out.splitlines()[-1] == "1 problem repaired, 1 left."
    assert files(root)["Cat/kim.json"] == '{\n  "a": 1\n}\n'


# -- reindex ---------------------------------------------------------------------------------------


def test_reindex(root: Path) -> None:
    write(root / "Cat/tom.rels.json", {"friends": ["Cat/tom", "Cat/kim"]})
    (root / layout.INDEX).write_bytes(b"rubbish" * 99)

    assert out("reindex", "data") == "2 files read, 2 links found\n"
    assert "FS402" not in run("check", "data").out
    assert out("reindex", "data") == "2 files read, 2 links found\n"


# -- recover ---------------------------------------------------------------------------------------


def test_nothing_to_recover(root: Path) -> None:
    assert out("recover", "data") == "nothing to recover: every commit is finished\n"


def test_recover_finishes_a_commit(root: Path) -> None:
    number = left_by_a_killed_process(
        root,
        Operation("Cat/kim.json", None, b"{}\n"),
        Operation("Cat/tom.json", digest(TOM), None),
    )
    assert out("recover", "data").splitlines() == [
        f"finished commit {number}:",
        "  wrote Cat/kim.json",
        "  removed Cat/tom.json",
    ]
    assert files(root) == {"Cat/kim.json": "{}\n"}
    assert out("recover", "data").startswith("nothing to recover")


def test_recover_keeps_what_was_edited_since(root: Path) -> None:
    number = left_by_a_killed_process(
        root,
        Operation("Cat/kim.json", None, b"{}\n"),
        Operation("Cat/tom.json", digest(TOM), b'{\n  "age": 4\n}\n'),
        Operation("Cat/zoe.json", None, b"{}\n"),
    )
    (root / "Cat/tom.json").write_bytes(TOM.replace(b"3", b"5"))
    (root / "Cat/zoe.json").mkdir()
    done = run("recover", "data")

    assert done.status == 1
    assert done.out.splitlines() == [
        f"finished commit {number}:",
        "  wrote Cat/kim.json",
        "  left Cat/tom.json as it is, because it was edited since",
        "  left Cat/zoe.json as it is, because it was edited since",
        (
            f"  what it would have written is in .filestore/conflicts/{number}/Cat/tom.json: "
            "merge it by hand"
        ),
        (
            f"  what it would have written is in .filestore/conflicts/{number}/Cat/zoe.json: "
            "merge it by hand"
        ),
    ]
    assert done.err.count("was edited after a crash") == 2
    assert (root / "Cat/tom.json").read_bytes() == TOM.replace(b"3", b"5")


def test_recover_drops_a_torn_commit(root: Path) -> None:
    number = left_by_a_killed_process(root, Operation("Cat/kim.json", None, b"{}\n"))
    os.truncate(root / layout.LOG, 70)

    assert out("recover", "data") == (
        f"commit {number} was torn by a power loss before it was acknowledged: dropped\n"
    )
    assert files(root) == {"Cat/tom.json": TOM.decode()}
