"""Hostile files: each gives a named error with its path, and harms nothing but its own record."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pytest
from constelite.models import Dynamic, TimePoint, ref

from filestore import FileStore
from filestore.errors import (
    CommitPendingError,
    CorruptFileError,
    MergeConflictError,
    RecordExistsError,
    RecordNotFoundError,
)
from tests.hostile import (
    ANY_FILE,
    BAD_LINKS,
    BAD_RECORDS,
    BAD_SERIES,
    BAD_TAGS,
    BAD_VALUES,
    POINT,
    Chest,
    members,
    others_are_well,
    over,
    populate,
    raised,
    to,
    tree,
)
from tests.models import Cat, Food, Human

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECONDS = 60
MEGABYTES = 700

FILES = {"record": "bad.json", "links": "bad.rels.json", "series": "bad.weight.jsonl"}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store that is attacked, before it is."""
    root = tmp_path_factory.mktemp("template") / "data"
    asyncio.run(populate(root))
    return root


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(template, tmp_path / "data")


@pytest.fixture
def attacked(root: Path) -> FileStore:
    """The store in `root`."""
    return FileStore(root)


@pytest.fixture(autouse=True)
def _bounded_time() -> Iterator[None]:
    """A hang is a failure, not a test that never ends."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"took longer than {SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(autouse=True, scope="module")
def _bounded_memory() -> Iterator[None]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10 < MEGABYTES


# -- contents --------------------------------------------------------------------------------------

BROKEN = [pytest.param(FILES, content, id=name) for name, content in ANY_FILE.items()]
BROKEN += [
    pytest.param(["links"], orjson.dumps(links), id=f"links: {name}")
    for name, links in BAD_LINKS.items()
]
BROKEN += [
    pytest.param(["series"], content, id=f"series: {name}") for name, content in BAD_SERIES.items()
]


@pytest.mark.parametrize(("kinds", "content"), BROKEN)
async def test_a_broken_file_harms_nothing_but_its_record(attacked, root, kinds, content):
    for kind in kinds:
        path = root / "Cat" / FILES[kind]
        good = path.read_bytes()
        path.write_bytes(content)
        await one_broken_file(attacked, path, content, linked=kind != "links")
        path.write_bytes(good)
    await others_are_well(attacked, linked=True)


async def one_broken_file(store: FileStore, path: Path, content: bytes, *, linked: bool) -> None:
    expected = MergeConflictError if b"<<<<<<<" in content else CorruptFileError
    before = tree(store.root)
    for attempt in (
        store.get(to(store, Cat, "bad")),
        store.query("Cat", include_states=True),
        store.put(over(store, "bad", Cat(name="new", **members(store)))),
        store.patch(over(store, "bad", Cat(name="new", **members(store)))),
    ):
        error = await raised(attempt)
        assert (type(error), error.path) == (expected, path)
        assert str(error).startswith(str(path))
        assert len(str(error)) < len(str(path)) + 400
    await others_are_well(store, linked=linked)
    assert tree(store.root) == before


@pytest.mark.parametrize("document", BAD_RECORDS.values(), ids=BAD_RECORDS)
async def test_a_record_that_does_not_fit_its_class(attacked, root, document):
    store, path = attacked, root / "Cat" / FILES["record"]
    path.write_bytes(orjson.dumps(document))
    before = tree(root)
    error = await raised(store.get(to(store, Cat, "bad")))
    assert isinstance(error, CorruptFileError)
    assert (error.path, error.model, error.uid) == (path, "Cat", "bad")
    assert len(str(error)) < len(str(path)) + 400
    await others_are_well(store, linked=True)
    assert tree(root) == before


@pytest.mark.parametrize("content", BAD_VALUES.values(), ids=BAD_VALUES)
async def test_a_series_that_does_not_fit_its_class(attacked, root, content):
    path = root / "Cat" / FILES["series"]
    path.write_bytes(content)
    before = tree(root)
    error = await raised(attacked.get(to(attacked, Cat, "bad")))
    assert isinstance(error, CorruptFileError)
    assert (error.path, error.field) == (path, "weight")
    await others_are_well(attacked, linked=True)
    assert tree(root) == before


@pytest.mark.parametrize("content", BAD_TAGS.values(), ids=BAD_TAGS)
async def test_a_tag_that_cannot_be_read(attacked, root, content):
    path = root / "Chest/chest.json"
    path.write_bytes(orjson.dumps({"content": content}))
    error = await raised(attacked.get(to(attacked, Chest, "chest")))
    assert isinstance(error, CorruptFileError)
    assert (error.path, error.line, error.field) == (path, 1, "content")


async def test_a_broken_file_does_not_keep_others_from_being_written(attacked, root):
    store = attacked
    for kind, name in FILES.items():
        (root / "Cat" / name).write_bytes(b"{" + kind.encode())
    before = tree(root / "Cat")
    await store.patch(over(store, "snowball", Cat(age=9)))
    await store.put(over(store, "lisa", Human(name="Lisa S.")))
    await store.create(Cat(name="new", **members(store)), "new")
    await store.delete(to(store, Food, "milk"))
    assert (await store.get(to(store, Cat, "snowball"))).state.age == 9
    lisa = (await store.get(to(store, Human, "lisa"))).state
    assert sorted(cat.uid for cat in lisa.cats) == ["flake", "new", "snowball"]
    after = tree(root / "Cat")
    assert [after[name] for name in FILES.values()] == [before[name] for name in FILES.values()]


async def test_a_record_is_not_deleted_while_an_unreadable_file_names_it(attacked, root):
    path = root / "Cat" / FILES["links"]
    path.write_bytes(b'{"carer": ["Human/lisa"], "likes": ["Food/fish"],')
    before = tree(root)
    for cls, uid in ((Human, "lisa"), (Food, "fish")):
        error = await raised(attacked.delete(to(attacked, cls, uid)))
        assert isinstance(error, CorruptFileError)
        assert error.path == path
    assert tree(root) == before


async def test_files_without_a_record_are_no_record(attacked, root):
    (root / "Cat/bad.json").unlink()
    error = await raised(attacked.get(to(attacked, Cat, "bad")))
    assert isinstance(error, RecordNotFoundError)
    assert not await attacked.uid_exists("bad", Cat)
    await others_are_well(attacked, linked=True, listed=False)


async def test_links_to_nowhere_and_in_circles(attacked, root):
    """They are valid links: they can be read, and a delete that follows them ends."""
    store = attacked
    links = {
        "carer": ["Human/nobody", "Nothing/x", "%2E%2E/x"],
        "kittens": ["Cat/bad", "Cat/flake", "Cat/nobody", "Human/lisa"],
    }
    (root / "Cat/bad.rels.json").write_bytes(orjson.dumps(links))
    (root / "Cat/flake.rels.json").write_bytes(orjson.dumps({"kittens": ["Cat/bad", "Cat/flake"]}))
    state = (await store.get(to(store, Cat, "bad"))).state
    assert [(link.state_model_name, link.uid) for link in state.carer] == [
        ("Human", "nobody"),
        ("Nothing", "x"),
        ("..", "x"),
    ]
    assert [link.uid for link in state.kittens] == ["bad", "flake", "nobody", "lisa"]
    for link in (state.carer[1], state.carer[2], state.kittens[2]):
        assert isinstance(await raised(store.get(link)), RecordNotFoundError)
    await store.delete(to(store, Cat, "bad"))
    assert [cat.uid for cat in await store.query("Cat", include_states=True)] == ["snowball"]


async def test_a_line_of_50_megabytes(attacked, root):
    path = root / "Cat" / FILES["series"]
    path.write_bytes(POINT + b'{"timestamp":1.0,"value":"' + b"x" * (50 << 20))
    error = await raised(attacked.get(to(attacked, Cat, "bad")))
    assert isinstance(error, CorruptFileError)
    assert error.path == path
    assert len(str(error)) < len(str(path)) + 400
    assert (await attacked.get(to(attacked, Cat, "snowball"))).state.name == "snowball"


# -- what is no file -------------------------------------------------------------------------------


def make_directory(path: Path) -> None:
    path.mkdir()
    (path / "mine").write_text("mine")


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        here = Path.cwd()
        os.chdir(path.parent)  # the whole path may be too long for a socket
        try:
            made.bind(path.name)
        finally:
            os.chdir(here)


def make_link(target: str) -> Callable[[Path], None]:
    """Makes a symbolic link, and what may be at its other end."""

    def make(path: Path) -> None:
        outside = path.parents[2] / "outside"
        outside.mkdir()
        (outside / "secret.json").write_text('{"name": "secret"}')
        path.symlink_to(target)

    return make


NO_FILES = {
    "directory": (make_directory, "is a directory"),
    "fifo": (os.mkfifo, "is a FIFO"),
    "socket": (make_socket, "is a socket"),
    "link inside": (make_link("snowball.json"), "is a symbolic link"),
    "link to another model": (make_link("../Human/lisa.json"), "is a symbolic link"),
    "link outside": (make_link("../../outside/secret.json"), "is a symbolic link"),
    "absolute link": (make_link("/etc/passwd"), "is a symbolic link"),
    "dangling link": (make_link("../../outside/new.json"), "is a symbolic link"),
    "link to itself": (make_link("bad.json"), "is a symbolic link"),
    "link to a directory": (make_link("../../outside"), "is a symbolic link"),
    "link to a device": (make_link("/dev/zero"), "is a symbolic link"),
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize(("make", "match"), NO_FILES.values(), ids=NO_FILES)
async def test_what_is_no_file_is_not_read_and_not_written(attacked, root, make, match, kind):
    store, path = attacked, root / "Cat" / FILES[kind]
    path.unlink()
    make(path)
    before = tree(root.parent)
    for attempt in (
        store.get(to(store, Cat, "bad")),
        store.put(over(store, "bad", Cat(name="new", **members(store)))),
        store.patch(over(store, "bad", Cat(name="new", **members(store)))),
    ):
        error = await raised(attempt)
        assert isinstance(error, CorruptFileError)
        assert error.path == path
        assert match in str(error)
    await others_are_well(store, linked=kind != "links")
    assert tree(root.parent) == before


@pytest.mark.parametrize("make", [make for make, _ in NO_FILES.values()], ids=NO_FILES)
async def test_a_new_record_does_not_take_the_place_of_what_is_no_file(attacked, root, make):
    make(root / "Cat/new.json")
    before = tree(root.parent)
    error = await raised(attacked.create(Cat(name="new"), "new"))
    assert isinstance(error, RecordExistsError)
    assert tree(root.parent) == before


@pytest.mark.parametrize("kind", ["links", "series"])
@pytest.mark.parametrize("make", [make for make, _ in NO_FILES.values()], ids=NO_FILES)
async def test_a_new_record_beside_what_is_no_file_is_refused(attacked, root, make, kind):
    path = root / "Cat" / FILES[kind].replace("bad", "new")
    make(path)
    before = tree(root.parent)
    error = await raised(attacked.create(Cat(name="new", **members(attacked)), "new"))
    assert isinstance(error, CorruptFileError)
    assert error.path == path
    assert tree(root.parent) == before
    await others_are_well(attacked, linked=True)


@pytest.mark.parametrize("target", ["outside", "data/Human", "nowhere"])
async def test_a_symlinked_model_directory_is_not_followed(attacked, root, target):
    store = attacked
    if target == "outside":
        shutil.copytree(root / "Food", root.parent / target)
    shutil.rmtree(root / "Food")
    (root / "Food").symlink_to(root.parent / target)
    before = tree(root.parent)
    attempts = [store.create(Food(name="x"), "x")]
    if target == "outside":
        attempts += [
            store.get(to(store, Food, "fish")),
            store.put(over(store, "fish", Food(name="x"))),
            store.patch(over(store, "fish", Food(name="x"))),
            store.delete(to(store, Food, "fish")),
        ]
    for attempt in attempts:
        error = await raised(attempt)
        assert isinstance(error, CorruptFileError)
        assert error.path == root / "Food"
        assert "is a symbolic link" in str(error)
    assert tree(root.parent) == before
    assert (await store.get(to(store, Cat, "snowball"))).state.name == "snowball"
    await store.patch(over(store, "snowball", Cat(age=10)))
    assert len(await store.query("Human", include_states=True)) == 2


async def test_a_file_where_a_model_directory_should_be(attacked, root):
    shutil.rmtree(root / "Chest")
    (root / "Chest").write_text("mine")
    error = await raised(attacked.create(Chest(content=1), "new"))
    assert isinstance(error, CorruptFileError)
    assert error.path == root / "Chest"
    assert (root / "Chest").read_text() == "mine"
    await others_are_well(attacked, linked=True)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("../mine")])
async def test_a_temporary_that_is_no_file(attacked, root, make):
    """It blocks nothing, nothing is written through it, and once it is gone all is well."""
    temporary, mine = root / ".filestore/tmp/next", root / ".filestore/mine"
    temporary.parent.mkdir(parents=True, exist_ok=True)
    mine.write_text("mine")
    make(temporary)
    error = await raised(attacked.create(Food(name="cocoa"), "cocoa"))
    assert isinstance(error, CommitPendingError)
    assert str(temporary) in str(error)
    assert mine.read_text() == "mine"
    if temporary.is_dir():
        temporary.rmdir()
    else:
        temporary.unlink()
    await attacked.create(Food(name="tea"), "tea")
    assert (await attacked.get(to(attacked, Food, "cocoa"))).state.name == "cocoa"


@pytest.mark.parametrize("name", [".filestore", ".filestore/tmp", ".filestore/tails"])
async def test_runtime_state_that_becomes_a_link_while_the_store_is_open(attacked, root, name):
    store, outside = attacked, root.parent / "outside"
    outside.mkdir()
    await store.put(ref(Food(name="first")))
    shutil.rmtree(root / name, ignore_errors=True)
    (root / name).symlink_to(outside)
    series = Dynamic[float](
        points=[TimePoint[float](timestamp=float(n), value=0.5) for n in range(3000)]
    )
    with suppress(CorruptFileError, CommitPendingError):  # or it needs nothing from there
        await store.create(Cat(name="new", weight=series), "new")
    assert list(outside.iterdir()) == []
    (root / name).unlink()
    await store.put(ref(Food(name="second")))
    assert (await store.get(to(store, Cat, "snowball"))).state.name == "snowball"


# -- what belongs to somebody else -----------------------------------------------------------------


@pytest.mark.parametrize("make", [make_directory, Path.touch, os.mkfifo])
async def test_what_else_lies_in_the_root_is_left_alone(attacked, root, make):
    for name in (".git", "docs-old", "a b", "%2e%2e", "README.md", "caf\u00e9", "x.json"):
        make(root / name)
    make(root / os.fsdecode(b"caf\xe9"))
    before = tree(root)
    await others_are_well(attacked, linked=True)
    assert tree(root) == before


async def test_other_names_in_a_model_directory_are_no_records(attacked, root):
    for name in ("a b.json", ".json", "x.json.bak", "x.JSON", "..json", "a.b.json", "a\n.json"):
        (root / "Cat" / name).write_bytes(b"{")
    (root / "Cat" / os.fsdecode(b"\xff.json")).write_bytes(b"{")
    await others_are_well(attacked, linked=True)
    assert len(await attacked.query("Cat", include_states=True)) == 3


UMASK = """
import asyncio, os, sys
from filestore import FileStore
from tests.hostile import Cat, Food, Human, over, populate, to

async def work(root):
    await populate(root)
    store = FileStore(root)
    await store.patch(over(store, "snowball", Cat(age=9)))
    await store.get(to(store, Human, "lisa"))
    await store.delete(to(store, Food, "fish"))

for umask in sys.argv[2:]:
    os.umask(int(umask, 8))
    asyncio.run(work(f"{sys.argv[1]}/{umask}"))
"""


def test_new_files_follow_the_umask(tmp_path):
    umasks = ("077", "002")
    subprocess.run([sys.executable, "-c", UMASK, tmp_path, *umasks], check=True, timeout=120)
    for umask in umasks:
        root = tmp_path / umask
        modes = {path: path.stat().st_mode & 0o777 for path in (root, *root.rglob("*"))}
        assert {"lock", "log", "index.sqlite"} <= {path.name for path in modes}
        wrong = {
            str(path): oct(mode)
            for path, mode in modes.items()
            if mode != (0o777 if path.is_dir() else 0o666) & ~int(umask, 8)
        }
        assert wrong == {}
