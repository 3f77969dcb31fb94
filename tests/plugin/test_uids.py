"""The same test gives the same bytes: in every run, under every hash seed, and under xdist."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from filestore.disk.layout import check_uid
from filestore.fixtures import UidSequence
from tests.directories import listing
from tests.plugin.conftest import content

if TYPE_CHECKING:
    from tests.plugin.conftest import Project

# Every test keeps what it wrote in a directory named by the environment.
WRITES = """
import re
import shutil

@pytest.fixture(autouse=True)
def kept(request, tmp_path):
    yield
    place = Path(os.environ["KEPT"]) / re.sub(r"\\W", "-", request.node.name)
    for store in tmp_path.glob("filestore*"):
        shutil.copytree(store, place / store.name, ignore=shutil.ignore_patterns(".filestore"))

async def write(store):
    carer = [ref(Human(name="Ann", friends=[ref(Human(name="Ben"))]))]
    put = await store.put(ref(Cat(name="Tom", carer=carer, kittens=[ref(Cat()), ref(Cat())])))
    await asyncio.gather(*(store.put(ref(Food(name="x"))) for _ in range(3)))
    return put.uid

@pytest.mark.filestore("cats")
@pytest.mark.parametrize("name", ["a", "b@c"])
def test_copied(filestore, name):
    fresh = {path.name for path in (filestore.root / "Cat").glob("*.json")}
    assert fresh == {"felix.json", "felix.rels.json", "snowball.json", "snowball.rels.json"}
    asyncio.run(write(filestore))
    (filestore.root / "Cat" / "felix.json").write_text("{}")

@pytest.mark.xdist_group("one")
def test_grouped(filestore):
    asyncio.run(write(filestore))

class TestClass:
    def test_several(self, filestore_factory):
        uids = [asyncio.run(write(filestore_factory())) for _ in range(3)]
        assert len({*uids}) == 3
"""


def test_same_bytes_in_every_run(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write("test_it.py", WRITES)
    before = listing(project.cats)
    kept = [project.path / name for name in ("here", "parallel")]
    monkeypatch.setenv("KEPT", str(kept[0]))
    project.run().assert_outcomes(passed=4)
    monkeypatch.setenv("KEPT", str(kept[1]))
    hash_seed = 1 + int(os.environ.get("PYTHONHASHSEED", "0").replace("random", "0"))
    result = project.start("-n2", "--dist=loadgroup", PYTHONHASHSEED=str(hash_seed))
    result.assert_outcomes(passed=4)
    assert listing(project.cats) == before
    here, parallel = map(content, kept)
    assert parallel == here
    # Tests and their stores differ from each other.
    uids = [path for path in here if "/Food/" in path and "fish" not in path and "milk" not in path]
    assert len(uids) == 3 * 6
    assert len({path.rpartition("/")[2] for path in uids}) == len(uids)
    stores = [data for path, data in here.items() if path.endswith("/filestore.json")]
    assert len({*stores}) == 4 + 1  # the two copies of cats are the same store


def test_uids_follow_from_the_node_id(project: Project) -> None:
    project.passes("""
        from filestore.fixtures import UidSequence

        def test_it(filestore, filestore_seed, filestore_factory):
            assert filestore_seed == "test_it.py::test_it"
            first = UidSequence("test_it.py::test_it\\0" "1")
            assert str(filestore.uid) == first()
            put = asyncio.run(filestore.put(ref(Food())))
            assert put.uid == first()
            second = UidSequence("test_it.py::test_it\\0" "2")
            assert str(filestore_factory().uid) == second()
    """)


@pytest.mark.parametrize("seed", ["'mine'", "7"])
def test_the_seed_can_be_chosen(project: Project, seed: str) -> None:
    project.passes(
        f"""
        uids = []

        @pytest.fixture(scope="session")
        def filestore_seed():
            return {seed}

        @pytest.mark.parametrize("time", range(2))
        def test_it(filestore, time):
            uids.append(asyncio.run(filestore.put(ref(Food()))).uid)
            assert len(set(uids)) == 1
        """,
        count=2,
    )


def test_a_sequence_makes_uuid4s_that_depend_on_its_seed_alone() -> None:
    one, again, other = UidSequence("a"), UidSequence("a"), UidSequence("b\udc80")
    uids = [check_uid(one()) for _ in range(100)]
    assert uids[:2] == [
        "b0e8de8d-4e6b-4207-b386-9a7d8738f251",
        "05a9c569-a185-4c60-b551-1f9760bc3f1a",
    ]
    assert [again() for _ in range(100)] == uids
    assert len({*uids, *(other() for _ in range(100))}) == 200
    assert {uid[14] for uid in uids} == {"4"}
