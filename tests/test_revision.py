"""`FileStore.at`: a git revision of the directory is a read-only store, without a checkout."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from constelite.graphql.utils import GraphQLQuery
from constelite.models import Dynamic, TimePoint, ref
from constelite.store import queries

from filestore import (
    CorruptFileError,
    FileStore,
    GitError,
    MergeConflictError,
    ReadOnlyError,
    RecordNotFoundError,
    StoreFormatError,
)
from filestore.disk.git import Git
from filestore.disk.revision import Revision
from tests.directories import listing, to, write
from tests.models import Cat, Food, Human
from tests.repositories import ENVIRONMENT, Repository
from tests.test_read_only import WRITES

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A repository whose directory `data` is to hold the store."""
    return Repository(tmp_path)


def weight(*values: float) -> Dynamic:
    return Dynamic[float](
        points=[
            TimePoint[float](timestamp=number, value=value) for number, value in enumerate(values)
        ]
    )


@pytest.fixture
async def old(repository: Repository, store: FileStore) -> str:
    """The commit with Tom, aged 3, whom Lisa cares for. A later one changes and deletes things."""
    lisa = await store.create(Human(name="Lisa"), uid="lisa")
    await store.create(Human(name="Ben"), uid="ben")
    await store.create(Cat(name="Tom", age=3, carer=[lisa], weight=weight(4.0)), uid="tom")
    await store.create(Cat(name="Kit", age=1, carer=[lisa]), uid="kit")
    first = repository.commit("Tom")
    carer = [to(store, Human, "ben")]
    await store.put(ref(Cat(age=4, carer=carer, weight=weight(4.0, 5.0)), "tom", store))
    await store.delete(to(store, Cat, "kit"))
    repository.commit("A birthday")
    return first


# -- reading ---------------------------------------------------------------------------------------


async def test_get_reads_the_record_as_it_was(store: FileStore, old: str) -> None:
    before = (await store.at("HEAD~1").get(to(store, Cat, "tom"))).state
    now = (await store.at("HEAD").get(to(store, Cat, "tom"))).state

    assert (before.age, [p.value for p in before.weight.points]) == (3, [4.0])
    assert [carer.uid for carer in before.carer] == ["lisa"]
    assert (now.age, [p.value for p in now.weight.points]) == (4, [4.0, 5.0])
    assert [carer.uid for carer in now.carer] == ["ben"]


async def test_bulk_get_reads_records_that_are_gone(store: FileStore, old: str) -> None:
    refs = [to(store, Cat, uid) for uid in ("kit", "tom")]
    found = await store.at(old).bulk_get(refs)

    assert [item.state.name for item in found] == ["Kit", "Tom"]
    with pytest.raises(RecordNotFoundError, match="no record Cat/kit in HEAD:data/"):
        await store.at("HEAD").get(refs[0])


async def test_query_finds_what_was_there(store: FileStore, old: str) -> None:
    past = store.at(old)
    young = await past.query(
        "Cat", include_states=True, query=queries.PropertyQuery(age=3, carer="lisa")
    )

    assert [cat.uid for cat in await past.query("Cat", include_states=False)] == ["kit", "tom"]
    assert [(cat.uid, cat.state.name) for cat in young] == [("tom", "Tom")]
    assert [cat.uid for cat in await store.query("Cat", include_states=False)] == ["tom"]


async def test_backrefs_are_those_of_the_revision(store: FileStore, old: str) -> None:
    past = store.at(old)

    async def cats(at: FileStore, human: str) -> list[str]:
        return [cat.uid for cat in (await at.get(to(store, Human, human))).state.cats]

    assert (await cats(past, "lisa"), await cats(past, "ben")) == (["kit", "tom"], [])
    assert (await cats(store, "lisa"), await cats(store, "ben")) == ([], ["tom"])
    asked = queries.BackrefQuery(
        ref=to(store, Human, "lisa"), class_name="Human", backref_field_name="cats"
    )
    assert [state.name for state in await past.get_model_by_backref(asked)] == ["Kit", "Tom"]


async def test_graphql_reads_the_revision(store: FileStore, old: str) -> None:
    query = GraphQLQuery(query_string="{cats {state {name carer {state {name}}}}}")
    result = await store.at(old).graphql(query)

    cats = [cat["state"] for cat in result["data"]["cats"]]
    assert [cat["name"] for cat in cats] == ["Kit", "Tom"]
    assert [cat["carer"][0]["state"]["name"] for cat in cats] == ["Lisa", "Lisa"]


async def test_primitives_read_the_revision(store: FileStore, old: str) -> None:
    past = store.at(old)

    assert await past.uid_exists("kit", Cat)
    assert not await past.uid_exists("nobody", Cat)
    assert (await past.get_state_by_uid("tom", Cat)).age == 3


async def test_refs_of_the_store_and_of_its_past_are_interchangeable(
    store: FileStore, old: str
) -> None:
    past = store.at(old)
    tom = await past.get(to(store, Cat, "tom"))

    assert past.uid == store.uid
    assert tom.record.store.uid == store.uid
    assert (await store.get(tom)).state.age == 4


@pytest.mark.parametrize("revision", ["HEAD~1", "first", "v1", "main^", ":/Tom"])
async def test_a_revision_is_whatever_git_takes_for_one(
    repository: Repository, store: FileStore, old: str, revision: str
) -> None:
    repository.git("branch", "first", old)
    repository.git("tag", "--annotate", "--message=One", "v1", old)

    assert (await store.at(revision).get(to(store, Cat, "tom"))).state.age == 3


async def test_a_revision_is_looked_up_once(
    repository: Repository, store: FileStore, old: str
) -> None:
    head = store.at("HEAD")
    repository.git("reset", "--quiet", "--hard", old)

    assert (await head.get(to(store, Cat, "tom"))).state.age == 4


async def test_the_past_of_the_past(store: FileStore, old: str) -> None:
    assert (await store.at("HEAD").at("HEAD~1").get(to(store, Cat, "tom"))).state.age == 3


async def test_inside_a_transaction_the_past_is_the_past(store: FileStore, old: str) -> None:
    async with store.transaction():
        await store.put(ref(Cat(age=9), "tom", store))
        assert (await store.at("HEAD").get(to(store, Cat, "tom"))).state.age == 4
        assert (await store.get(to(store, Cat, "tom"))).state.age == 9


async def test_a_store_at_the_top_of_its_repository(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "data")
    store = FileStore(repository.root)
    await store.create(Food(name="Fish"), uid="fish")
    repository.commit()
    await store.delete(to(store, Food, "fish"))

    assert (await store.at("HEAD").get(to(store, Food, "fish"))).state.name == "Fish"


async def test_a_repository_with_sha256_ids(tmp_path: Path) -> None:
    subprocess.run(
        ["git", "init", "--quiet", "--object-format=sha256", tmp_path], check=True, env=ENVIRONMENT
    )
    repository, store = Repository(tmp_path), FileStore(tmp_path / "data")
    lisa = await store.create(Human(name="Lisa"), uid="lisa")
    await store.create(Cat(name="Tom", carer=[lisa]), uid="tom")
    repository.commit()

    assert [cat.uid for cat in (await store.at("HEAD").get(lisa)).state.cats] == ["tom"]


async def test_a_directory_without_a_manifest(repository: Repository, data: Path) -> None:
    write(data / "Food" / "fish.json", {"name": "Fish"})
    repository.commit()
    store = FileStore(data, read_only=True)

    assert (await store.at("HEAD").get(to(store, Food, "fish"))).state.name == "Fish"


async def test_hostile_names_beside_the_records(repository: Repository, store: FileStore) -> None:
    await store.create(Food(name="Fish"), uid="fish")
    for name in ("a b.json", "line\nbreak.json", "-option.rels.json"):
        (store.root / "Food" / name).write_text("{}")
    (store.root / ".hidden").mkdir()
    (store.root / ".hidden" / "x.json").write_text("{}")
    repository.commit()
    past = store.at("HEAD")

    assert {found.uid for found in await past.query("Food", include_states=True)} == {"fish"}


async def test_more_links_than_one_batch(repository: Repository, store: FileStore) -> None:
    lisa = await store.create(Human(name="Lisa"), uid="lisa")
    uids = [f"cat-{number}" for number in range(100, 400)]
    for uid in uids:
        write(store.root / "Cat" / f"{uid}.json", {})
        write(store.root / "Cat" / f"{uid}.rels.json", {"carer": ["Human/lisa"]})
    repository.commit()

    assert [cat.uid for cat in (await store.at("HEAD").get(lisa)).state.cats] == uids


# -- nothing is written ----------------------------------------------------------------------------


async def test_nothing_is_written_anywhere(
    repository: Repository, store: FileStore, old: str
) -> None:
    before = listing(repository.root)
    past = store.at(old)
    await past.get(to(store, Human, "lisa"))
    await past.query("Cat", include_states=True)

    assert listing(repository.root) == before


@pytest.mark.parametrize("write_method", WRITES.values(), ids=WRITES.keys())
async def test_every_write_is_an_error(store: FileStore, old: str, write_method: Any) -> None:
    with pytest.raises(ReadOnlyError, match=r"HEAD:data/ is a git revision.*read-only"):
        await write_method(store.at("HEAD"), to(store, Cat, "tom"))


def test_it_shows_what_it_is(store: FileStore, old: str) -> None:
    assert repr(store.at("HEAD~1")) == f"{store!r}.at('HEAD~1')"


# -- threads, processes, hooks ---------------------------------------------------------------------


async def test_threads_share_a_revision(store: FileStore, old: str) -> None:
    past = store.at(old)
    ages: list[int] = []

    def read() -> None:
        ages.extend(asyncio.run(past.get(to(store, Cat, "tom"))).state.age for _ in range(20))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ages == [3] * 80


def test_a_forked_child_asks_a_git_of_its_own(repository: Repository, data: Path) -> None:
    write(data / "Food" / "fish.json", {"name": "Fish"})
    repository.commit()
    revision = Revision(Git(str(data)), "HEAD")
    fish = revision.read("Food/fish.json")
    revision._git._mutex.acquire()  # as another thread may at that moment
    child = os.fork()
    if child != 0:
        revision._git._mutex.release()
    else:
        signal.alarm(20)
        status = 1
        try:
            status = 0 if revision.read("Food/fish.json") == fish else 1
        finally:
            os._exit(status)

    assert os.waitpid(child, 0)[1] == 0
    assert revision.read("Food/fish.json") == fish == b'{"name":"Fish"}'


def test_a_child_leaves_the_git_of_its_parent_alone(
    repository: Repository, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(data / "Food" / "fish.json", {"name": "Fish"})
    repository.commit()
    git = Git(str(data))
    assert git.object("HEAD") is not None
    assert git._batch is not None
    process = git._batch._process
    with monkeypatch.context() as patched:
        patched.setattr("os.getpid", lambda: -1)
        assert git.object("HEAD") is not None
        assert git._batch._process is not process
    assert process.returncode == 0, "as far as the child knows"
    _, status = os.waitpid(process.pid, 0)
    assert not os.WIFSIGNALED(status)


async def test_inside_a_hook(
    repository: Repository, store: FileStore, old: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git tells its hooks where the repository is, which must not move the data directory."""
    monkeypatch.setenv("GIT_DIR", str(repository.root / ".git"))
    monkeypatch.setenv("GIT_PREFIX", "")

    assert (await store.at("HEAD~1").get(to(store, Cat, "tom"))).state.age == 3


async def test_git_that_ended_is_an_error_and_started_again(store: FileStore, old: str) -> None:
    past = store.at("HEAD")
    git = past._database.files._git
    git._batch._process.kill()
    git._batch._process.wait()

    with pytest.raises(GitError, match="git cat-file ended unexpectedly"):
        await past.get(to(store, Cat, "tom"))
    assert (await past.get(to(store, Cat, "tom"))).state.age == 4


async def test_an_interrupted_read_leaves_nothing_behind(
    store: FileStore, old: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*fields: Any) -> None:
        raise KeyboardInterrupt

    git = Git(str(store.root))
    wanted = [f"HEAD:./Human/{uid}.json" for uid in ("lisa", "ben")]
    with monkeypatch.context() as patched:
        patched.setattr("filestore.disk.git.Object", interrupt)
        with pytest.raises(KeyboardInterrupt):
            list(git.objects(wanted))

    assert b"Lisa" in next(git.objects(wanted)).data


def test_git_that_does_not_answer(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data.mkdir()
    (tmp_path / "git").write_text('#!/bin/sh\n[ "$1" = rev-parse ] && exit\nread request\n')
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    with pytest.raises(GitError, match="git cat-file ended unexpectedly"):
        Git(str(data)).commit("HEAD")


# -- errors ----------------------------------------------------------------------------------------


def test_no_repository(store: FileStore) -> None:
    with pytest.raises(GitError, match=r"data is in no git repository: make one with git init"):
        store.at("HEAD")


@pytest.mark.parametrize("revision", ["nobody", "", "HEAD~9", "HEAD\nHEAD", "--all", "HEAD:data"])
def test_no_such_revision(store: FileStore, old: str, revision: str) -> None:
    with pytest.raises(GitError, match="names no commit in the git repository of") as caught:
        store.at(revision)
    assert repr(revision) in str(caught.value)


def test_no_commit_yet(repository: Repository, store: FileStore) -> None:
    with pytest.raises(GitError, match="'HEAD' names no commit"):
        store.at("HEAD")


def test_a_revision_from_before_the_directory(repository: Repository, data: Path) -> None:
    repository.commit("Nothing yet")
    with pytest.raises(GitError, match="data is not in git revision HEAD"):
        FileStore(data).at("HEAD")


def test_no_git(store: FileStore, old: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(GitError, match="git is not installed"):
        store.at("HEAD")


def test_no_directory(data: Path) -> None:
    with pytest.raises(GitError, match="data is no directory"):
        Git(str(data))


def test_git_says_what_is_wrong(repository: Repository, data: Path) -> None:
    data.mkdir()
    (repository.root / ".git" / "config").write_text("[core\n")
    with pytest.raises(GitError, match=r"git rev-parse failed in .*data: bad config line 1"):
        Git(str(data))


async def test_a_file_that_cannot_be_read_is_named_with_its_revision(
    repository: Repository, store: FileStore
) -> None:
    await store.create(Food(name="Fish"), uid="fish")
    await store.create(Food(name="Milk"), uid="milk")
    (store.root / "Food" / "fish.json").write_text('{\n  "name": \n}\n')
    (store.root / "Food" / "milk.json").write_text("<<<<<<< ours\n{}\n=======\n>>>>>>> theirs\n")
    (store.root / "Food" / "milk.rels.json").write_text("[]")
    repository.commit()
    past = store.at("main")

    with pytest.raises(CorruptFileError, match=r"^main:data/Food/fish.json, line 3: is no valid"):
        await past.get(to(store, Food, "fish"))
    with pytest.raises(MergeConflictError, match=r"^main:data/Food/milk.json, line 1"):
        await past.get(to(store, Food, "milk"))


async def test_an_unreadable_relationship_file_hides_no_other(
    repository: Repository, store: FileStore, data: Path
) -> None:
    lisa = await store.create(Human(name="Lisa"), uid="lisa")
    await store.create(Cat(name="Tom", carer=[lisa]), uid="tom")
    write(data / "Cat" / "kit.json", {"name": "Kit"})
    write(data / "Cat" / "kit.rels.json", [])
    repository.commit()

    assert [cat.uid for cat in (await store.at("HEAD").get(lisa)).state.cats] == ["tom"]


async def test_symbolic_links_are_not_followed(
    repository: Repository, store: FileStore, data: Path
) -> None:
    write(data / "Food" / "fish.json", {"name": "Fish"})
    (data / "Food" / "milk.json").symlink_to("fish.json")
    (data / "Food" / "tree.json").mkdir()
    write(data / "Food" / "tree.json" / "leaf.json", {})
    (data / "Drink").symlink_to("Food")
    repository.commit()
    revision = Revision(Git(str(data)), "HEAD")

    assert revision.models() == ["Food"]
    with pytest.raises(CorruptFileError, match=r"HEAD:data/Food/milk.json is a symbolic link"):
        revision.read("Food/milk.json")
    with pytest.raises(CorruptFileError, match=r"HEAD:data/Food/tree.json is a directory"):
        revision.read("Food/tree.json")
    with pytest.raises(CorruptFileError, match=r"HEAD:data/Drink is a symbolic link"):
        revision.names("Drink")


async def test_an_object_that_is_lost_is_not_taken_for_absent(
    repository: Repository, store: FileStore
) -> None:
    await store.create(Food(name="Fish"), uid="fish")
    repository.commit()
    blob = repository.git("rev-parse", "HEAD:data/Food/fish.json").strip()
    (repository.root / ".git" / "objects" / blob[:2] / blob[2:]).unlink()

    with pytest.raises(CorruptFileError, match=r"fish.json is not in the git repository, which"):
        await store.at("HEAD").get(to(store, Food, "fish"))


def test_a_newer_format_is_refused(repository: Repository, store: FileStore) -> None:
    manifest = store.root / "filestore.json"
    document = orjson.loads(manifest.read_bytes())
    manifest.write_bytes(orjson.dumps({**document, "format": 99}))
    repository.commit()

    with pytest.raises(StoreFormatError, match=r"HEAD:data/filestore.json has format 99"):
        store.at("HEAD")
