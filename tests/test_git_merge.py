"""Merges by git itself: without any driver, with the driver, and stopped in the middle."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from constelite.models import Dynamic, TimePoint, ref

from filestore import FileStore, GitError, MergeConflictError
from filestore.cli import git_setup, merge_driver
from tests.directories import records, to
from tests.models import Cat, Food, Human, Kitten
from tests.repositories import Repository

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    Edit = Callable[[FileStore], Awaitable[Any]]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def setup(data: Path, *options: str) -> list[str]:
    """Run `git-setup`; returns what it says, without the directory's parents."""
    done = CliRunner().invoke(git_setup.command, [str(data), *options], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output.replace(f"{data.parent}/", "").splitlines()


async def start(repository: Repository) -> FileStore:
    """A store with Lisa, Ben, some food, and Tom, whom Lisa cares for."""
    store = FileStore(repository.root / "data")
    async with store.transaction():
        lisa = await store.create(Human(name="Lisa"), uid="lisa")
        await store.create(Human(name="Ben"), uid="ben")
        for name in ("fish", "meat", "milk"):
            await store.create(Food(name=name), uid=name)
        tom = Cat(name="Tom", age=3, carer=[lisa], weight=weight((0, 4.0)))
        await store.create(tom, uid="tom")
        await store.create(Cat(name="Kit", age=1, carer=[lisa]), uid="kit")
        await store.create(Kitten(name="Kitty", toy="ball"), uid="kitty")
    repository.commit("Start")
    return store


async def branches(repository: Repository, store: FileStore, ours: Edit, theirs: Edit) -> None:
    """Make one edit on `main` and another on the branch `theirs`; ends on `main`."""
    repository.branch("theirs")
    await theirs(store)
    repository.commit("Theirs")
    repository.switch("main")
    await ours(store)
    repository.commit("Ours")


def weight(*points: tuple[float, float]) -> Dynamic:
    return Dynamic[float](
        points=[TimePoint[float](timestamp=time, value=value) for time, value in points]
    )


def patch(uid: str, **values: Any) -> Edit:
    return lambda store: store.patch(ref(Cat(**values), uid, store))


def put(uid: str, **values: Any) -> Edit:
    return lambda store: store.put(ref(Cat(**values), uid, store))


def new_cat(uid: str) -> Edit:
    def create(store: FileStore) -> Awaitable[Any]:
        return store.create(Cat(name=uid, carer=[to(store, Human, "lisa")]), uid=uid)

    return create


def likes(uid: str, *food: str) -> Edit:
    def link(store: FileStore) -> Awaitable[Any]:
        return store.patch(ref(Cat(likes=[to(store, Food, name) for name in food]), uid, store))

    return link


def cared_for(uid: str, carer: str) -> Edit:
    def link(store: FileStore) -> Awaitable[Any]:
        return store.put(ref(Cat(carer=[to(store, Human, carer)]), uid, store))

    return link


async def state(store: FileStore, uid: str) -> Cat:
    found: Cat = (await store.get(to(store, Cat, uid))).state
    return found


# -- without any driver ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (patch("tom", age=4), patch("kit", age=2)),
        (new_cat("felix"), new_cat("garfield")),
        (new_cat("felix"), patch("tom", age=4)),
        (likes("tom", "fish"), likes("kit", "milk")),
        (likes("tom", "fish"), cared_for("kit", "ben")),
        (patch("tom", weight=weight((1, 4.1))), patch("tom", age=4)),
        (patch("tom", age=4), likes("tom", "fish")),
    ],
    ids=[
        "different records",
        "new records that link to one",
        "a new record and a change",
        "links of different records",
        "links to different records",
        "points and properties",
        "properties and links",
    ],
)
async def test_branches_merge_without_conflict_and_without_driver(
    repository: Repository, ours: Edit, theirs: Edit
) -> None:
    store = await start(repository)
    await branches(repository, store, ours, theirs)

    assert repository.merge("theirs").returncode == 0
    merged = records(store.root)
    repository.git("switch", "--quiet", "--detach", "main~2")
    await theirs(store)
    await ours(store)
    assert {n: f[2] for n, f in merged.items()} == {n: f[2] for n, f in records(store.root).items()}


async def test_links_in_different_relationships_merge_without_driver(
    repository: Repository,
) -> None:
    store = await start(repository)
    await put("tom", kittens=[to(store, Cat, "kit")])(store)
    await likes("tom", "fish")(store)
    repository.commit("More links")

    async def another_kitten(store: FileStore) -> None:
        await patch("tom", kittens=[to(store, Cat, "kitty")])(store)

    await branches(repository, store, likes("tom", "milk"), another_kitten)

    assert repository.merge("theirs").returncode == 0
    tom = await state(store, "tom")
    assert [food.uid for food in tom.likes] == ["fish", "milk"]
    assert [cat.uid for cat in tom.kittens] == ["kit", "kitty"]


async def test_backrefs_of_a_merge_are_those_of_both_branches(repository: Repository) -> None:
    store = await start(repository)
    await branches(repository, store, new_cat("felix"), new_cat("garfield"))
    repository.merge("theirs")

    lisa = (await store.get(to(store, Human, "lisa"))).state
    assert [cat.uid for cat in lisa.cats] == ["felix", "garfield", "kit", "tom"]


@pytest.mark.parametrize(
    ("edit", "added", "removed"),
    [
        (patch("tom", age=4), 1, 1),
        (patch("tom", weight=weight((9, 1.0))), 1, 0),
        (likes("tom", "milk"), 2, 1),  # a comma on the line before
        (cared_for("tom", "ben"), 1, 1),
        (patch("tom", age=3), 0, 0),
    ],
    ids=["a property", "a point", "a link", "another link", "nothing"],
)
async def test_a_change_is_a_line(
    repository: Repository, edit: Edit, added: int, removed: int
) -> None:
    store = await start(repository)
    await likes("tom", "fish")(store)
    repository.commit("Fish")
    await edit(store)

    counts = repository.git("diff", "--numstat").split()[:2]
    assert counts == [str(added), str(removed)] * bool(added)


# -- with the driver -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uid", "ours", "theirs", "expected"),
    [
        (
            "kitty",
            patch("kitty", name="Tim"),
            lambda store: store.patch(ref(Kitten(toy="mouse"), "kitty", store)),
            {"name": "Tim", "toy": "mouse"},
        ),
        ("tom", likes("tom", "milk"), likes("tom", "fish"), {"likes": ["fish", "milk"]}),
        (
            "tom",
            patch("tom", weight=weight((2, 4.2))),
            patch("tom", weight=weight((1, 4.1))),
            {"weight": [4.0, 4.1, 4.2]},
        ),
        (
            "tom",
            likes("tom", "milk"),
            cared_for("tom", "ben"),
            {"likes": ["milk"], "carer": ["ben"]},
        ),
    ],
    ids=["neighbouring properties", "one relationship", "one series", "two relationships"],
)
async def test_the_driver_merges_what_lines_do_not(
    repository: Repository, uid: str, ours: Edit, theirs: Edit, expected: dict[str, Any]
) -> None:
    store = await start(repository)
    await branches(repository, store, ours, theirs)
    assert repository.merge("theirs").returncode == 1, "git needs no driver for this"
    repository.git("merge", "--abort")
    setup(store.root)
    repository.commit("Set up")

    assert repository.merge("theirs").returncode == 0
    cat = await state(store, uid)
    for name, value in expected.items():
        found = getattr(cat, name)
        if name == "weight":
            found = [point.value for point in found.points]
        elif isinstance(found, list):
            found = [target.uid for target in found]
        assert found == value


async def test_a_property_that_both_change_stays_a_conflict(repository: Repository) -> None:
    store = await start(repository)
    setup(store.root)
    repository.commit("Set up")
    await branches(repository, store, patch("tom", age=4), patch("tom", age=5, name="Tim"))

    merge = repository.merge("theirs")

    assert merge.returncode == 1
    assert "CONFLICT (filestore): both sides changed age of Cat/tom" in merge.stderr
    assert repository.conflicts() == ["data/Cat/tom.json"]
    assert (store.root / "Cat" / "tom.json").read_text() == (
        "{\n"
        "<<<<<<< ours: age of Cat/tom\n"
        '  "age": 4,\n'
        "||||||| base\n"
        '  "age": 3,\n'
        "=======\n"
        '  "age": 5,\n'
        ">>>>>>> theirs: age of Cat/tom\n"
        '  "model_name": "Cat",\n'
        '  "name": "Tim"\n'
        "}\n"
    )


@pytest.mark.parametrize("command", ["rebase", "cherry-pick"])
async def test_the_driver_serves_other_commands(repository: Repository, command: str) -> None:
    store = await start(repository)
    setup(store.root)
    repository.commit("Set up")
    await branches(repository, store, likes("tom", "milk"), likes("tom", "fish"))

    repository.git(command, "theirs")
    assert [food.uid for food in (await state(store, "tom")).likes] == ["fish", "milk"]


async def test_a_record_that_both_branches_made(repository: Repository) -> None:
    store = await start(repository)
    setup(store.root)
    repository.commit("Set up")

    def made(**values: Any) -> Edit:
        return lambda store: store.create(Cat(name="Felix", **values), uid="felix")

    await branches(repository, store, made(age=1), made(likes=[to(store, Food, "fish")]))

    assert repository.merge("theirs").returncode == 0
    felix = await state(store, "felix")
    assert (felix.age, [food.uid for food in felix.likes]) == (1, ["fish"])


async def test_an_edit_of_a_record_that_the_other_branch_deleted_is_a_conflict(
    repository: Repository,
) -> None:
    store = await start(repository)
    setup(store.root)
    repository.commit("Set up")

    async def replace(store: FileStore) -> None:
        await store.delete(to(store, Cat, "kit"))
        await store.create(Cat(name="Kit", age=1, carer=[to(store, Human, "lisa")]), uid="kit-2")

    await branches(repository, store, replace, patch("kit", name="Kitty"))

    assert repository.merge("theirs").returncode == 1
    assert repository.conflicts() == ["data/Cat/kit.json"]
    assert (await state(store, "kit-2")).name == "Kit"


async def test_without_setup_git_takes_a_new_record_for_a_renamed_one(
    repository: Repository,
) -> None:
    """Why git-setup sets merge.renames: the edit of one record would land in another."""
    store = await start(repository)

    async def replace(store: FileStore) -> None:
        await store.delete(to(store, Cat, "kit"))
        await store.create(Cat(name="Kit", age=1, carer=[to(store, Human, "lisa")]), uid="kit-2")

    await branches(repository, store, replace, patch("kit", name="Kitty"))

    assert repository.merge("theirs").returncode == 0
    assert (await state(store, "kit-2")).name == "Kitty"


async def test_a_merge_of_criss_crossed_branches(repository: Repository) -> None:
    """The base is then itself a merge with conflicts: what differs is a conflict, not lost."""
    store = await start(repository)
    setup(store.root)
    repository.commit("Set up")
    await branches(repository, store, patch("tom", age=4), patch("tom", age=5))
    repository.git("branch", "ours")
    repository.merge("theirs", "--strategy-option=ours")
    resolved = (store.root / "Cat" / "tom.json").read_text()
    if "<<<<<<<" in resolved:
        repository.git("checkout", "ours", "--", "data/Cat/tom.json")
    repository.commit("Age 4")
    repository.git("switch", "--quiet", "theirs")
    repository.merge("ours")
    repository.git("checkout", "theirs", "--", "data/Cat/tom.json")
    repository.commit("Age 5")
    repository.switch("main")

    assert repository.merge("theirs").returncode == 1
    content = (store.root / "Cat" / "tom.json").read_text()
    assert "<<<<<<< ours: age of Cat/tom\n" in content
    with pytest.raises(MergeConflictError):
        await state(store, "tom")


async def test_files_that_are_no_records_are_merged_by_line(repository: Repository) -> None:
    store = await start(repository)
    setup(store.root)
    for name in ("notes.json", "Cat/a b.json", "Cat/kit.json"):
        (store.root / name).write_text("{" + "\n" * 9 + "}x\n")
    repository.commit("Notes")

    def edit(line: int) -> Edit:
        async def write(store: FileStore) -> None:
            for name in ("notes.json", "Cat/a b.json", "Cat/kit.json"):
                path = store.root / name
                lines = path.read_text().splitlines(keepends=True)
                lines[line] = f"{line}\n"
                path.write_text("".join(lines))

        return write

    await branches(repository, store, edit(1), edit(7))

    assert repository.merge("theirs").returncode == 0
    for name in ("notes.json", "Cat/a b.json", "Cat/kit.json"):
        assert (store.root / name).read_text() == "{\n1\n\n\n\n\n\n7\n\n}x\n"


async def test_a_driver_that_is_gone_leaves_no_conflict_without_markers(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await start(repository)
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", "/nowhere/100% python")
        patched.setitem(git_setup._SETTINGS, "merge.filestore.driver", git_setup.driver_command())
        setup(store.root)
    repository.commit("Set up")
    await branches(repository, store, patch("tom", age=4), patch("tom", age=5))

    assert repository.merge("theirs").returncode == 1
    content = (store.root / "Cat" / "tom.json").read_text()
    assert '<<<<<<< ours\n  "age": 4,\n=======\n  "age": 5,\n>>>>>>> theirs\n' in content


# -- merge-driver ----------------------------------------------------------------------------------


def drive(tmp_path: Path, name: str, *versions: str) -> tuple[int, str, str]:
    """Run the driver on base, ours and theirs: its status, the result, what it says."""
    paths = [tmp_path / version for version in ("base", "ours", "theirs")]
    for path, content in zip(paths, versions, strict=True):
        path.write_text(content)
    done = CliRunner().invoke(merge_driver.command, [*map(str, paths), name])
    return done.exit_code, paths[1].read_text(), done.stderr


def test_the_driver_writes_the_result_over_ours(tmp_path: Path) -> None:
    assert drive(tmp_path, "a/data/Cat/x.json", "{}", '{"a":1}', '{"b":2}') == (
        0,
        '{\n  "a": 1,\n  "b": 2\n}\n',
        "",
    )


def test_the_driver_tells_of_conflicts(tmp_path: Path) -> None:
    status, merged, said = drive(tmp_path, "data/Cat/x.json", "{}", '{"\x9b":1}', '{"\x9b":2}')
    assert (status, said) == (1, "CONFLICT (filestore): both sides changed ? of Cat/x\n")
    assert "<<<<<<< ours: ? of Cat/x\n" in merged


@pytest.mark.parametrize("name", ["data/Cat/x.json", "notes.json"])
@pytest.mark.parametrize(
    ("ours", "theirs", "status", "merged"),
    [
        ("[1]\n\n\n", "\n\n\n2\n", 1, None),
        ("a\n\n\n\n", "\n\n\nb\n", 0, "a\n\n\nb\n"),
        ("a\0\n", "b\0\n", 1, "a\0\n"),
    ],
    ids=["conflict", "clean", "binary"],
)
def test_the_driver_merges_by_line_what_it_cannot_read(
    tmp_path: Path, name: str, ours: str, theirs: str, status: int, merged: str | None
) -> None:
    base = "\n\n\n\n" if status == 0 else "x\n"
    found = drive(tmp_path, name, base, ours, theirs)

    assert found[0] == status
    assert ("merging it by line" in found[2]) == (name != "notes.json")
    if merged is None:
        assert "<<<<<<< ours\n[1]\n" in found[1]
        assert found[1].endswith("2\n>>>>>>> theirs\n")
    else:
        assert found[1] == merged


# -- git-setup -------------------------------------------------------------------------------------


async def test_setup_twice_is_setup_once(repository: Repository) -> None:
    store = await start(repository)
    assert setup(store.root) == [
        "data/.gitattributes: added the merge of records; commit it",
        "git config: added the merge driver 'filestore' to this clone",
        "git config: set merge.renames to false in this clone",
        "git config: set pull.twohead to recursive in this clone",
    ]
    before = records(repository.root)
    assert (store.root / ".gitattributes").read_text() == (
        "*.json text eol=lf\n"
        "*.jsonl text eol=lf\n"
        "/*/*.json merge=filestore\n"
        "/*/*.jsonl merge=filestore\n"
    )
    assert repository.git("check-attr", "merge", "data/Cat/tom.json").endswith(": filestore\n")
    assert repository.git("check-attr", "merge", "data/filestore.json").endswith("unspecified\n")

    assert setup(store.root) == ["nothing to do"]
    assert records(repository.root) == before


async def test_removing_leaves_everything_as_it_was(repository: Repository) -> None:
    store = await start(repository)
    (store.root / ".gitattributes").write_bytes(b"*.json text eol=lf\n# caf\xe9\n*.x binary\n")
    before = {name: file[2] for name, file in records(repository.root).items()}
    config = repository.git("config", "--local", "--list")
    setup(store.root)
    assert {name: file[2] for name, file in records(repository.root).items()} != before

    assert setup(store.root, "--remove") == [
        "data/.gitattributes: removed the merge of records; commit it",
        "git config: merge.renames is as it was",
        "git config: pull.twohead is as it was",
        "git config: removed the merge driver 'filestore' from this clone",
    ]
    assert setup(store.root, "--remove") == ["nothing to do"]
    after = {name: file[2] for name, file in records(repository.root).items()}
    assert {name for name in after if after[name] != before.get(name)} <= {".git/config"}
    assert repository.git("config", "--local", "--list") == config


async def test_renames_that_somebody_wants_stay(repository: Repository) -> None:
    store = await start(repository)
    repository.git("config", "merge.renames", "true")

    assert setup(store.root)[2] == (
        "git config: merge.renames is true in this clone and stays so, but a merge may then take "
        "a new record for a deleted one that was renamed"
    )
    assert setup(store.root, "--remove")[-1].startswith("git config: removed the merge driver")
    assert repository.git("config", "merge.renames") == "true\n"


async def test_settings_that_were_changed_since_stay(repository: Repository) -> None:
    store = await start(repository)
    setup(store.root)
    repository.git("config", "merge.renames", "true")

    setup(store.root, "--remove")
    assert repository.git("config", "merge.renames") == "true\n"
    assert repository.attempt("config", "pull.twohead").stdout == ""


async def test_a_directory_without_attributes(repository: Repository) -> None:
    store = await start(repository)
    (store.root / ".gitattributes").unlink()
    setup(store.root)

    assert (store.root / ".gitattributes").read_text().startswith("*.json text eol=lf\n")


def test_setup_outside_of_a_repository(data: Path) -> None:
    data.mkdir()
    with pytest.raises(GitError, match="is in no git repository"):
        setup(data)
    assert list(data.iterdir()) == []


# -- in the middle of a merge ----------------------------------------------------------------------


@pytest.mark.parametrize("driver", [False, True], ids=["by line", "by part"])
async def test_in_the_middle_of_a_merge_the_others_can_be_read(
    repository: Repository, driver: bool
) -> None:
    store = await start(repository)
    if driver:
        setup(store.root)
        repository.commit("Set up")

    async def ours(store: FileStore) -> None:
        await patch("tom", age=4)(store)
        await put("kit", carer=[], weight=weight((0, 1.0)))(store)

    async def theirs(store: FileStore) -> None:
        await patch("tom", age=5)(store)
        await put("kit", weight=weight((0, 2.0)))(store)
        await new_cat("felix")(store)

    await branches(repository, store, ours, theirs)
    assert repository.merge("theirs").returncode == 1
    assert repository.conflicts() == ["data/Cat/kit.weight.jsonl", "data/Cat/tom.json"]

    for reader in (store, FileStore(store.root, read_only=True)):
        for uid, file in (("tom", r"tom\.json, line 2"), ("kit", r"kit\.weight\.jsonl, line 1")):
            with pytest.raises(MergeConflictError, match=rf"{file}: holds the conflict markers"):
                await state(reader, uid)
        assert (await state(reader, "felix")).name == "felix"
        lisa = (await reader.get(to(reader, Human, "lisa"))).state
        assert [cat.uid for cat in lisa.cats] == ["felix", "tom"]
    await new_cat("garfield")(store)
    assert (await state(store, "garfield")).name == "garfield"

    repository.git("checkout", "--theirs", "--", "data/Cat")
    assert ((await state(store, "tom")).age, (await state(store, "kit")).age) == (5, 1)


async def test_links_with_markers_are_an_error_where_they_are_needed(
    repository: Repository,
) -> None:
    store = await start(repository)
    await branches(repository, store, likes("tom", "fish"), likes("tom", "milk"))
    assert repository.merge("theirs").returncode == 1

    with pytest.raises(MergeConflictError, match=r"tom\.rels\.json, line"):
        await state(store, "tom")
    lisa = (await store.get(to(store, Human, "lisa"))).state
    assert [cat.uid for cat in lisa.cats] == ["kit"]
