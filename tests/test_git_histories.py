"""Random pairs of edit histories, merged by git with and without the driver.

No merge loses an edit in silence, and a file that merges cleanly is good. What a merge should make
of each property, link and point is worked out here by itself, from the three versions' JSON.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from constelite.models import Dynamic, TimePoint, ref
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from filestore import FileStore, MergeConflictError, RecordExistsError, RecordNotFoundError
from filestore.cli import git_setup
from tests.directories import to
from tests.models import Food, Kitten
from tests.repositories import Repository

if TYPE_CHECKING:
    from pathlib import Path

Parts = dict[tuple[Any, ...], Any]
Edit = tuple[str, str, Any]

CATS, FOOD, NEW = ("c0", "c1", "c2", "c3"), ("f0", "f1", "f2", "f3"), ("n0", "n1")

cats = st.sampled_from((*CATS, *NEW))
edits = st.one_of(
    st.tuples(st.just("age"), cats, st.integers(0, 3)),
    st.tuples(st.just("name"), cats, st.sampled_from(["Tom", "Kit"])),
    st.tuples(st.just("toy"), cats, st.sampled_from(["ball", "mouse"])),
    st.tuples(st.just("like"), cats, st.sampled_from(FOOD)),
    st.tuples(st.just("likes"), cats, st.lists(st.sampled_from(FOOD), unique=True)),
    st.tuples(st.just("kittens"), cats, st.sampled_from(CATS)),
    st.tuples(st.just("point"), cats, st.tuples(st.integers(0, 9), st.integers(0, 1))),
    st.tuples(st.just("weight"), cats, st.lists(st.integers(0, 9), unique=True, max_size=3)),
    st.tuples(st.just("new"), st.sampled_from(NEW), st.sampled_from(["Tom", "Kit"])),
    st.tuples(st.just("delete"), st.sampled_from((*CATS, *FOOD)), st.none()),
)
histories = st.lists(edits, min_size=1, max_size=8)


def weight(points: list[tuple[float, float]]) -> Dynamic:
    return Dynamic[float](
        points=[TimePoint[float](timestamp=time, value=value) for time, value in points]
    )


async def make(store: FileStore) -> None:
    async with store.transaction():
        for uid in FOOD:
            await store.create(Food(name=uid), uid=uid)
        for number, uid in enumerate(CATS):
            cat = Kitten(name=uid, age=number, toy="yarn", weight=weight([(2, 1), (5, 1)]))
            cat.likes = [to(store, Food, food) for food in FOOD[:number]]
            await store.create(cat, uid=uid)


async def apply(store: FileStore, edit: Edit) -> None:
    kind, uid, value = edit
    if kind == "delete":
        await store.delete(to(store, Food if uid in FOOD else Kitten, uid))
    elif kind == "new":
        await store.create(Kitten(name=value, age=0), uid=uid)
    elif kind in ("age", "name", "toy"):
        await store.patch(ref(Kitten(**{kind: value}), uid, store))
    elif kind == "like":
        await store.patch(ref(Kitten(likes=[to(store, Food, value)]), uid, store))
    elif kind == "likes":
        likes = [to(store, Food, food) for food in value]
        await store.put(ref(Kitten(likes=likes), uid, store))
    elif kind == "kittens":
        await store.patch(ref(Kitten(kittens=[to(store, Kitten, value)]), uid, store))
    elif kind == "point":
        await store.patch(ref(Kitten(weight=weight([value])), uid, store))
    else:
        points = weight([(time, 7) for time in sorted(value)])
        await store.put(ref(Kitten(weight=points), uid, store))


async def live(root: Path, history: list[Edit]) -> None:
    """Make the edits; those that are impossible, such as on a record that is gone, do nothing."""
    store = FileStore(root)
    for edit in history:
        try:
            await apply(store, edit)
        except (RecordNotFoundError, RecordExistsError):
            pass


def parts(root: Path) -> dict[str, Parts]:
    """What each file consists of: properties, links, points, each by what names it."""
    found: dict[str, Parts] = {}
    for path in sorted(root.glob("*/*.json*")):
        file = path.relative_to(root).as_posix()
        text = path.read_text()
        if "<<<<<<< " in text:
            continue
        found[file] = {}
        if file.endswith(".jsonl"):
            for point in map(json.loads, filter(None, text.splitlines())):
                again = sum(1 for key in found[file] if key[0] == point["timestamp"])
                found[file][point["timestamp"], again] = point["value"]
        elif file.endswith(".rels.json"):
            for name, targets in json.loads(text).items():
                # git alone may merge two lists into one that has a link twice: it is read as one.
                found[file] |= {(name,): True} | {(name, target): True for target in targets}
        else:
            found[file] = {(name,): value for name, value in json.loads(text).items()}
    return found


def clashes(base: Parts, ours: Parts, theirs: Parts) -> list[tuple[Any, ...]]:
    """The parts that both sides changed, each in its own way."""
    return [
        name
        for name in {**base, **ours, **theirs}
        if ours.get(name) != theirs.get(name)
        and base.get(name) not in (ours.get(name), theirs.get(name))
    ]


def expected(base: Parts, ours: Parts, theirs: Parts) -> Parts:
    """What the merge should be, if nothing clashes."""
    merged = {
        name: theirs.get(name) if ours.get(name) == base.get(name) else ours.get(name)
        for name in {**base, **ours, **theirs}
    }
    return {name: value for name, value in merged.items() if value is not None}


async def check_readable(root: Path, conflicts: list[str], gone: set[str]) -> None:
    """Every record can be read, but those with conflicts; links lead to records or to deleted ones.

    Args:
        root: The data directory.
        conflicts: The files with conflicts.
        gone: The records that one of the branches deleted.
    """
    store = FileStore(root, read_only=True)
    for path in root.glob("*/*.json"):
        record = f"{path.parent.name}/{path.name.split('.')[0]}"
        properties = root / f"{record}.json"
        if not properties.exists():  # edited by one branch, deleted by the other
            assert record in gone
            continue
        model = Food if record.startswith("Food/") else Kitten
        try:
            state = (await store.get(to(store, model, properties.stem))).state
        except MergeConflictError:
            assert any(file.startswith(f"{record}.") for file in conflicts)
            continue
        links = [*(state.likes or []), *(state.kittens or [])] if model is Kitten else []
        for link in links:
            target = f"{link.state_model_name}/{link.uid}"
            assert (root / f"{target}.json").exists() or target in gone


async def check_clean(root: Path, gone: set[str], driver: bool) -> None:
    """Nothing is wrong but links to, and files of, records that a branch deleted; repair mends it.

    A file that one branch adds to a record that the other deletes is no conflict for git. Without
    the driver, a link that one branch moves and the other adds may be there twice.
    """
    store = FileStore(root)
    for problem in await store.check():
        if problem.code == "FS203" and not driver:
            continue
        assert problem.code in ("FS201", "FS204", "FS205"), problem
        assert any(record in problem.text or record in str(problem.path) for record in gone)
    await store.repair()
    assert await store.check() == []


@pytest.fixture(scope="module", params=[False, True], ids=["without driver", "with driver"])
def prepared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Repository, bool]:
    """A repository with the commit `base`, and whether the driver is installed."""
    repository = Repository(tmp_path_factory.mktemp("histories"))
    asyncio.run(make(FileStore(repository.root / "data")))
    if request.param:
        CliRunner().invoke(git_setup.command, [str(repository.root / "data")])
    repository.commit("Start")
    repository.git("branch", "base")
    return repository, request.param


@settings(
    derandomize=True,
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(histories, histories)
@example([("like", "c2", "f2")], [("likes", "c2", ["f2", "f0", "f1"])])
def test_no_edit_is_lost_in_silence(
    prepared: tuple[Repository, bool], mine: list[Edit], others: list[Edit]
) -> None:
    repository, driver = prepared
    data = repository.root / "data"
    versions = []
    for branch, history in (("base", []), ("theirs", others), ("ours", mine)):
        repository.git("checkout", "--quiet", "--force", "-B", branch, "base")
        asyncio.run(live(data, history))
        repository.commit(branch)
        versions.append(parts(data))
    base, theirs, ours = versions

    repository.merge("theirs", "--strategy=recursive", "--strategy-option=no-renames")
    conflicts = [file.removeprefix("data/") for file in repository.conflicts()]
    merged = parts(data)
    try:
        for file in {**base, **ours, **theirs}:
            three = [side.get(file) for side in (base, ours, theirs)]
            check_file(file, *three, merged.get(file), file in conflicts, driver)
        gone = {
            file.removesuffix(".json")
            for file in {**base, **ours, **theirs}
            if not (file in ours and file in theirs)
        }
        asyncio.run(check_readable(data, conflicts, gone))
        if not conflicts:
            asyncio.run(check_clean(data, gone, driver))
    finally:
        repository.attempt("merge", "--abort")


def check_file(
    file: str,
    base: Parts | None,
    ours: Parts | None,
    theirs: Parts | None,
    merged: Parts | None,
    conflict: bool,
    driver: bool,
) -> None:
    """A file merges to what it should, or is a conflict; with the driver only if it must be."""
    if ours is None or theirs is None:  # never made, or deleted, by one branch or by both
        left = theirs if ours is None else ours
        if left is not None and base is not None and left != base:
            assert conflict, f"{file} was edited and deleted"
        elif not conflict:
            assert merged == (None if base is not None else left)
        return
    clash = clashes(base or {}, ours, theirs)
    if driver:
        assert conflict == bool(clash), (file, clash)
    if clash:
        assert conflict, (file, clash)
    if not conflict:
        assert merged == expected(base or {}, ours, theirs), file


# -- bytes -----------------------------------------------------------------------------------------


@settings(derandomize=True, max_examples=10, deadline=None)
@given(histories)
def test_the_same_operations_give_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, history: list[Edit]
) -> None:
    contents = []
    for _ in range(2):
        root = tmp_path_factory.mktemp("machine")
        asyncio.run(make(FileStore(root)))
        asyncio.run(live(root, history))
        files = (path for path in root.glob("[!.]*/*"))
        contents.append({str(path.relative_to(root)): path.read_bytes() for path in files})
    assert contents[0] == contents[1]
