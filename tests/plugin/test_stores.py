"""The stores that tests get: where they are, what they start from, and that nobody shares them."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from filestore import CorruptFileError, fixtures
from tests.directories import listing, set_permissions
from tests.plugin.conftest import content

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugin.conftest import Project


def test_an_empty_store_under_tmp_path(project: Project) -> None:
    project.passes("""
        def test_it(filestore, tmp_path):
            assert isinstance(filestore, FileStore)
            assert filestore.root == tmp_path / "filestore"
            assert filestore.name == "FileStore"
            assert not filestore.read_only
            cats = asyncio.run(filestore.query("Cat", include_states=False))
            assert cats == []
    """)


def test_the_marker_names_a_fixture(project: Project) -> None:
    project.passes(
        """
        pytestmark = pytest.mark.filestore("cats")

        def names(store):
            hits = asyncio.run(store.query("Creature", include_states=True))
            return sorted(hit.name for hit in hits)

        def test_of_the_module(filestore, tmp_path):
            assert names(filestore) == ["Félix", "Mittens", "Snowball", "Whiskers"]
            assert filestore.name == "cats"
            assert filestore.root == tmp_path / "filestore"

        @pytest.mark.filestore()
        def test_the_closest_wins(filestore):
            assert names(filestore) == []

        @pytest.mark.filestore("cats", read_only=True, lock_timeout=3)
        def test_options(filestore):
            assert filestore.read_only
            assert filestore.lock_timeout == 3
            assert len(names(filestore)) == 4
        """,
        "--strict-markers",
        count=3,
    )


def test_the_factory_makes_any_number(project: Project) -> None:
    project.passes("""
        def test_it(filestore_factory, tmp_path):
            one, two = filestore_factory("cats"), filestore_factory()
            three = filestore_factory("cats", durable=True)
            assert len({store.root for store in (one, two, three)}) == 3
            assert all(tmp_path in store.root.parents for store in (one, two, three))
            asyncio.run(one.delete(ref(Cat, uid="felix", store=one)))
            assert not (one.root / "Cat" / "felix.json").exists()
            assert (three.root / "Cat" / "felix.json").exists()
            assert not (two.root / "Cat").exists()
            chosen = "0c8ad3a6-6d0f-4b1a-9c3e-5f1d2e7b4a91"
            four = filestore_factory(uid=chosen, name="four", uid_factory=lambda: "mine")
            assert (str(four.uid), four.name) == (chosen, "four")
            assert asyncio.run(four.put(ref(Food()))).uid == "mine"
    """)


def test_read_only_opens_the_fixture_itself(project: Project) -> None:
    before = listing(project.cats)
    project.passes("""
        import filestore as package

        def test_it(filestore_factory, request):
            store = filestore_factory("cats", read_only=True)
            assert store.root == request.path.parent / "fixtures" / "cats"
            snowball = asyncio.run(store.get(ref(Cat, uid="snowball", store=store)))
            assert snowball.carer[0].uid == "ann"
            with pytest.raises(package.ReadOnlyError):
                asyncio.run(store.delete(snowball))
            with pytest.raises(ValueError, match="name a fixture directory"):
                filestore_factory(read_only=True)
    """)
    assert listing(project.cats) == before


def test_where_fixtures_are_found(project: Project) -> None:
    project.configure("filestore_fixtures = deep/data")
    for place, name in (("deep/data/cats", "ini"), ("deep/data/dogs", "ini"), ("t/cats", "beside")):
        path = project.path / place / "Food"
        path.mkdir(parents=True)
        (path / "x.json").write_text(f'{{"name": "{name}"}}')
    project.write(
        "t/test_it.py",
        """
        def name(store):
            return asyncio.run(store.get(ref(Food, uid="x", store=store))).name

        def test_it(filestore_factory, request):
            assert name(filestore_factory("cats")) == "beside"
            assert name(filestore_factory("dogs")) == "ini"
            assert name(filestore_factory("../deep/data/cats")) == "ini"
            assert name(filestore_factory(request.path.parent / "cats")) == "beside"
        """,
    )
    project.run().assert_outcomes(passed=1)
    project.run("t", "--rootdir", "t").assert_outcomes(passed=1)


def test_fixtures_without_an_ini_file_are_below_the_root(project: Project) -> None:
    (project.path / "pytest.ini").unlink()
    asyncio = ("-o", "asyncio_default_fixture_loop_scope=function")
    project.write("t/test_it.py", "def test_it(filestore_factory): filestore_factory('cats')")
    project.run(*asyncio, "--rootdir", str(project.path)).assert_outcomes(passed=1)


def test_a_fixture_that_is_not_there(project: Project) -> None:
    project.write(
        "t/test_it.py",
        """
        @pytest.mark.filestore("dogs")
        def test_it(filestore):
            pass
        """,
    )
    result = project.run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["E *FileNotFoundError: there is no fixture directory t/dogs or fixtures/dogs: make it*"]
    )


# -- nothing is shared -----------------------------------------------------------------------------


def test_tests_do_not_see_each_other(project: Project) -> None:
    before = listing(project.cats)
    project.passes(
        """
        pytestmark = pytest.mark.filestore("cats")

        @pytest.mark.parametrize("time", range(2))
        def test_it(filestore, time):
            fresh = sorted(path.name for path in (filestore.root / "Cat").iterdir())
            assert len(fresh) == 5
            asyncio.run(filestore.put(ref(Cat(name="New"))))
            asyncio.run(filestore.delete(ref(Cat, uid="felix", store=filestore)))
            asyncio.run(filestore.patch(ref(Cat(age=9), uid="snowball", store=filestore)))
            for path in filestore.root.rglob("*"):
                if path.is_file():
                    with path.open("r+b") as file:  # in place, as an editor may
                        file.write(b"spoilt")
                    os.utime(path, (0, 0))
                    path.chmod(0o600)
        """,
        count=2,
    )
    assert listing(project.cats) == before


def test_copies_are_plain_files_of_their_own(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "Cat" / "deep").mkdir(parents=True)
    (source / ".filestore").mkdir()
    for name in ("README", ".gitattributes", "Cat/tom.json", "Cat/deep/x", ".filestore/log"):
        (source / name).write_text(name)
    (source / "Cat" / "empty.json").touch()
    (source / "long").write_bytes(os.urandom((1 << 20) + 5))
    (source / "even").write_bytes(os.urandom(1 << 20))
    set_permissions(source, directories=0o555, files=0o444)
    (tmp_path / "link").symlink_to(source)
    try:
        fixtures.copy(tmp_path / "link", tmp_path / "new" / "copy")
    finally:
        set_permissions(source, directories=0o755, files=0o644)
    copied = tmp_path / "new" / "copy"
    assert content(copied) == content(source)
    assert not (copied / ".filestore").exists()
    assert not copied.is_symlink()
    for path in copied.rglob("*"):
        assert os.access(path, os.W_OK)
        if path.is_file():
            assert (path.stat().st_mode & 0o200, path.stat().st_nlink) == (0o200, 1)
    with pytest.raises(FileExistsError):
        fixtures.copy(source, copied)


def test_a_directory_is_not_copied_into_itself(project: Project) -> None:
    project.passes("""
        def test_it(filestore_factory, tmp_path):
            (tmp_path / "Food").mkdir()
            (tmp_path / "Food" / "fish.json").write_text("{}")
            with pytest.raises(ValueError, match="inside of it.* directory of its own"):
                filestore_factory(tmp_path)
    """)


def test_what_a_copy_would_share_is_refused(tmp_path: Path) -> None:
    (tmp_path / "source" / "Cat").mkdir(parents=True)
    (tmp_path / "tom.json").write_text("{}")
    (tmp_path / "source" / "Cat" / "tom.json").symlink_to(tmp_path / "tom.json")
    with pytest.raises(CorruptFileError, match=r"Cat/tom\.json is neither .* replace it") as caught:
        fixtures.copy(tmp_path / "source", tmp_path / "copy")
    assert caught.value.path == tmp_path / "source" / "Cat" / "tom.json"


def test_a_copy_costs_little_more_than_its_files(tmp_path: Path) -> None:
    (tmp_path / "source" / "Cat").mkdir(parents=True)
    for number in range(200):
        (tmp_path / "source" / "Cat" / f"{number}.json").write_text('{"name": "Tom"}\n')

    def bare(target: Path) -> None:
        target.mkdir()
        for number in range(200):
            os.close(os.open(target / f"{number}.json", os.O_CREAT | os.O_WRONLY))

    def best(work: object) -> float:
        times = []
        for number in range(3):
            start = time.perf_counter()
            work(tmp_path / f"{work.__name__}-{number}")  # type: ignore[operator, attr-defined]
            times.append(time.perf_counter() - start)
        return min(times)

    def copied(target: Path) -> None:
        fixtures.copy(tmp_path / "source", target)

    assert best(copied) < 5 * best(bare)


# -- async tests of every kind ---------------------------------------------------------------------

ASYNC = """
    @pytest.mark.filestore("cats")
    async def test_it(filestore):
        put = await filestore.put(ref(Cat(name="Tom")))
        assert (await filestore.get(put)).name == "Tom"
        assert len(await filestore.query("Cat", include_states=False)) == 5
"""


def test_with_pytest_asyncio_in_auto_mode(project: Project) -> None:
    project.passes(ASYNC, "-o", "asyncio_mode=auto")


def test_with_pytest_asyncio_in_strict_mode(project: Project) -> None:
    project.passes(ASYNC.replace("@", "@pytest.mark.asyncio\n    @"), "-o", "asyncio_mode=strict")


def test_with_anyio(project: Project) -> None:
    backend = """
    @pytest.fixture
    def anyio_backend():
        return "asyncio"
    """
    project.passes(backend + ASYNC.replace("@", "@pytest.mark.anyio\n    @"), "-p", "no:asyncio")


def test_with_unittest(project: Project) -> None:
    project.passes("""
        from unittest import IsolatedAsyncioTestCase

        class Test(IsolatedAsyncioTestCase):
            @pytest.fixture(autouse=True)
            def store(self, filestore):
                self.store = filestore

            @pytest.mark.filestore("cats")
            async def test_it(self):
                await self.store.put(ref(Cat(name="Tom")))
                assert len(await self.store.query("Cat", include_states=False)) == 5
    """)
