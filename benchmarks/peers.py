"""Five stores that keep the same data and do the same work, each as its users would do it.

The data are parcels and depots; a parcel names the depots it is at. The work is to add a parcel
that is at two depots, to move a parcel, and to count. A move changes three values and a link of the
parcel, and a value of the depot that it is at from then on. One of the values is a text that gets
longer and shorter in turn.

Each store is used in the way that its own documentation recommends for this, with everything that
it offers for keeping data whole; see the class of each.
"""

# The methods of the stores are documented once, in `Peer`.
# ruff: noqa: D102

from __future__ import annotations

import importlib.metadata
import os
from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple, Optional
from uuid import UUID

from constelite.models import Association, Ref, StateModel, ref
from constelite.store.pickle import PickleStore

import filestore
from filestore import FileStore

BYSTANDERS = 20
PATIENCE = 60.0


class Depot(StateModel):
    """A place; `step` is the step of the last parcel that came."""

    name: Optional[str]  # noqa: UP045 (constelite's models do not know the other notation)
    step: Optional[int]  # noqa: UP045


class Parcel(StateModel):
    """A parcel: its step tells what its other values are."""

    name: Optional[str]  # noqa: UP045
    step: Optional[int]  # noqa: UP045
    status: Optional[str]  # noqa: UP045
    note: Optional[str]  # noqa: UP045
    at: Optional[Association[Depot]]  # noqa: UP045


class Values(NamedTuple):
    """A parcel's values; those of a depot are its step alone."""

    step: int
    status: str = ""
    note: str = ""
    at: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether the values belong together."""
        return self == at_step(self.step)


def at_step(step: int) -> Values:
    """What a parcel is like at a step: in turn with a long note and a short one."""
    return Values(step, f"step {step}", "handle with care " * (step % 2 * 9 + 1), (depot(step),))


def depot(step: int) -> str:
    """The depot where a parcel is at a step."""
    return f"depot-{step % 2}"


NEW = Values(1, "new", "", ("depot-0", "depot-1"))

Content = dict[str, "Values | None"]  # by name; None is a record that cannot be read


# -- the stores ------------------------------------------------------------------------------------


class Peer(ABC):
    """A store, opened.

    Attributes:
        title: Its name.
        distribution: What it is installed with.
        configured: How it is used here, and what its documentation promises.
        together: How a record and a linked one are read so that they belong together.
        counting: How a value is read, changed and written back by several processes.
    """

    title: ClassVar[str]
    distribution: ClassVar[str]
    configured: ClassVar[str]
    together: ClassVar[str]
    counting: ClassVar[str]

    @abstractmethod
    def __init__(self, root: str) -> None:
        """Open the store in `root`, which is made if it is missing."""

    @classmethod
    def version(cls) -> str | None:
        """The installed version, or None."""
        try:
            return importlib.metadata.version(cls.distribution)
        except importlib.metadata.PackageNotFoundError:
            return None

    @abstractmethod
    async def prepare(self, step: int) -> None:
        """Fill the empty store: two depots, bystanders, and the parcel at a step."""

    @abstractmethod
    async def add(self) -> None:
        """Write one new record, which links two others."""

    @abstractmethod
    async def move(self, step: int) -> None:
        """Change three values and a link of the parcel, and a value of the linked depot."""

    @abstractmethod
    async def parcel(self) -> Values:
        """Read the parcel."""

    @abstractmethod
    async def parcel_and_depot(self) -> tuple[Values, int]:
        """Read the parcel, and the step of the depot that it is at; -1 if it is at none."""

    @abstractmethod
    async def count(self) -> None:
        """Add one to the parcel's step."""

    @abstractmethod
    async def content(self) -> Content:
        """Read all there is, record by record."""

    def close(self) -> None:  # noqa: B027 (most need none)
        """Close the store, if that is how it is used."""


class ConstelitePeer(Peer):
    """What constelite's interface is the same for."""

    store: Any

    def ref(self, cls: type[StateModel], uid: str, state: StateModel | None = None) -> Ref:
        """A ref to a record of the store."""
        found = ref(cls, uid=uid, store=self.store)
        found.state = state
        return found

    async def add(self) -> None:
        at = [self.ref(Depot, name) for name in NEW.at]
        state = Parcel(name="new", step=NEW.step, status=NEW.status, note=NEW.note, at=at)
        await self.store.put(ref(state))

    async def move(self, step: int) -> None:
        # One call: a patch goes on to what is linked, if that is given with a state.
        values = at_step(step)
        to = self.ref(Depot, values.at[0], Depot(name=values.at[0], step=step))
        state = Parcel(name="parcel", step=step, status=values.status, note=values.note, at=[to])
        await self.store.patch(self.ref(Parcel, "parcel", state))

    async def parcel(self) -> Values:
        return values_of((await self.store.get(self.ref(Parcel, "parcel"))).state)

    async def parcel_and_depot(self) -> tuple[Values, int]:
        values = await self.parcel()
        if not values.at:
            return values, -1
        linked = (await self.store.get(self.ref(Depot, values.at[0]))).state
        return values, linked.step

    async def count(self) -> None:
        state = (await self.store.get(self.ref(Parcel, "parcel"))).state
        await self.store.patch(self.ref(Parcel, "parcel", Parcel(step=state.step + 1)))


def values_of(state: Any) -> Values:
    """The values of a constelite state."""
    if isinstance(state, Parcel):
        at = tuple(to.uid for to in state.at or [])
        return Values(state.step or 0, state.status or "", state.note or "", at)
    return Values(state.step or 0)


class FileStorePeer(ConstelitePeer):
    """This project.

    The defaults. A `put` or `patch` is one commit; several calls are one inside `transaction()`. A
    reader of one record takes no lock; records that belong together are read in a transaction.
    """

    title = "FileStore"
    distribution = "constelite-filestore"
    configured = (
        "the defaults; a `patch` with a nested state is documented as one commit, and survives a "
        "killed process"
    )
    together = "`get` twice, in `store.transaction()`"
    counting = "`get`, `patch`, in `store.transaction()`"

    def __init__(self, root: str) -> None:
        self.store = FileStore(root, lock_timeout=PATIENCE)

    @classmethod
    def version(cls) -> str | None:
        return filestore.__version__

    async def prepare(self, step: int) -> None:
        async with self.store.transaction():
            for name in depots():
                await self.store.create(Depot(name=name, step=0), name)
            await self.store.create(Parcel(name="parcel"), "parcel")
            await self.move(step - 1)
            await self.move(step)

    async def parcel_and_depot(self) -> tuple[Values, int]:
        async with self.store.transaction():
            return await super().parcel_and_depot()

    async def count(self) -> None:
        async with self.store.transaction():
            await super().count()

    async def content(self) -> Content:
        found: Content = {}
        for model in ("Depot", "Parcel"):
            for listed in await self.store.query(model, include_states=False):
                try:
                    state = (await self.store.get(listed)).state
                except Exception:  # noqa: BLE001 (any error means the same here)
                    found[listed.uid] = None
                else:
                    found[state.name] = values_of(state)
        return found


class PickleStorePeer(ConstelitePeer):
    """constelite's own store on files: one pickle a record.

    There is nothing to configure but the directory. constelite documents no transactions, no locks
    and nothing about killed processes or several of them.
    """

    title = "constelite's PickleStore"
    distribution = "constelite"
    configured = (
        "nothing to configure; the same calls as FileStore; constelite promises nothing about "
        "killed processes or several of them"
    )
    together = "`get` twice; it has no transactions"
    counting = "`get`, `patch`; it has no lock"

    def __init__(self, root: str) -> None:
        self.store = PickleStore(uid=UUID("5b0ba2ea-21ac-4f0c-a5f0-0f0b2a0b9a3e"), path=root)

    async def prepare(self, step: int) -> None:
        for name in depots():  # the primitive below `put`, because `put` chooses the uid
            await self.store.store(uid=name, model=Depot(name=name, step=0))
        await self.store.store(uid="parcel", model=Parcel(name="parcel", at=[]))
        await self.move(step - 1)
        await self.move(step)

    async def content(self) -> Content:
        found: Content = {}
        for uid in self._listed():  # it has no query
            try:
                state = await self.store.get_state_by_uid(uid, StateModel)
            except Exception:  # noqa: BLE001
                found[uid] = None
            else:
                found[state.name] = values_of(state)
        return found

    def _listed(self) -> list[str]:
        return sorted(os.listdir(self.store.path))


class TinyDBPeer(Peer):
    """TinyDB with its default storage: one JSON file, rewritten in place by each operation.

    A move is a single operation, `update_multiple`, so it is a single rewrite, and all is read with
    a single operation, too. The default storage calls fsync on every write. Its introduction
    advises against it for access from several processes or threads, and for ACID guarantees.
    """

    title = "TinyDB"
    distribution = "tinydb"
    configured = (
        "the default storage; a move is one `update_multiple`; its introduction advises against it "
        "for several processes or where ACID matters"
    )
    together = "one `get(doc_ids=…)`"
    counting = "`update(increment(…))`; it has no lock between processes"

    IDS: ClassVar[dict[str, int]] = {"parcel": 1, "depot-0": 2, "depot-1": 3}

    def __init__(self, root: str) -> None:
        from tinydb import TinyDB

        os.makedirs(root, exist_ok=True)
        self.db = TinyDB(f"{root}/db.json")

    async def prepare(self, step: int) -> None:
        self.db.insert({"name": "parcel"})
        self.db.insert_multiple({"name": name, "step": 0} for name in depots())
        await self.move(step - 1)
        await self.move(step)

    async def add(self) -> None:
        self.db.insert({"name": "new", **NEW._asdict()})

    async def move(self, step: int) -> None:
        from tinydb import where

        values = at_step(step)
        self.db.update_multiple(
            [
                (values._asdict(), where("name") == "parcel"),
                ({"step": step}, where("name") == values.at[0]),
            ]
        )

    async def parcel(self) -> Values:
        return values_in(self.db.get(doc_id=self.IDS["parcel"]))

    async def parcel_and_depot(self) -> tuple[Values, int]:
        found = self.db.get(doc_ids=list(self.IDS.values()))
        named = {document["name"]: document for document in found}
        values = values_in(named["parcel"])
        return values, named[values.at[0]]["step"]

    async def count(self) -> None:
        from tinydb.operations import increment

        self.db.update(increment("step"), doc_ids=[self.IDS["parcel"]])

    async def content(self) -> Content:
        return {document["name"]: values_in(document) for document in self.db.all()}

    def close(self) -> None:
        self.db.close()


class DiskCachePeer(Peer):
    """diskcache's `Index`: a persistent mapping on SQLite that evicts nothing.

    The documentation of `Index.transact` says that reads and writes in it are atomic; the project
    calls itself thread-safe and process-safe.
    """

    title = "diskcache"
    distribution = "diskcache"
    configured = (
        "an `Index`, which evicts nothing; a move is done in `transact()`, documented as atomic"
    )
    together = "two look-ups, in `transact()`"
    counting = "a look-up and an assignment, in `transact()`"

    def __init__(self, root: str) -> None:
        from diskcache import Index

        self.index = Index(root)

    async def prepare(self, step: int) -> None:
        for name in depots():
            self.index[name] = {"step": 0}
        await self.move(step - 1)
        await self.move(step)

    async def add(self) -> None:
        self.index["new"] = NEW._asdict()

    async def move(self, step: int) -> None:
        values = at_step(step)
        with self.index.transact():
            self.index["parcel"] = values._asdict()
            self.index[values.at[0]] = {"step": step}

    async def parcel(self) -> Values:
        return values_in(self.index["parcel"])

    async def parcel_and_depot(self) -> tuple[Values, int]:
        with self.index.transact():
            values = values_in(self.index["parcel"])
            return values, self.index[values.at[0]]["step"]

    async def count(self) -> None:
        with self.index.transact():
            values = values_in(self.index["parcel"])
            self.index["parcel"] = values._replace(step=values.step + 1)._asdict()

    async def content(self) -> Content:
        found: Content = {}
        for name in self.index:
            try:
                found[name] = values_in(self.index[name])
            except Exception:  # noqa: BLE001
                found[name] = None
        return found

    def close(self) -> None:
        self.index.cache.close()


class SignacPeer(Peer):
    """signac: a record is a job, its values are in the job's document, a JSON file.

    The values of one job are written by one `update`, which replaces the file. Nothing in its
    documentation makes changes to two jobs one, and buffering is not meant for several processes.
    """

    title = "signac"
    distribution = "signac"
    configured = (
        "a record is a job with a document, written by one `update`, which replaces the file; it "
        "has nothing for two jobs at once"
    )
    together = "two documents; it has no transactions"
    counting = "`job.doc.step += 1`; it has no lock between processes"

    def __init__(self, root: str) -> None:
        import signac

        os.makedirs(root, exist_ok=True)
        self.project = signac.init_project(root)

    async def prepare(self, step: int) -> None:
        for name in ["parcel", *depots()]:
            self._job(name).init()
            self._job(name).document.update(step=0)
        await self.move(step - 1)
        await self.move(step)

    async def add(self) -> None:
        job = self._job("new").init()
        job.document.update(NEW._asdict())

    async def move(self, step: int) -> None:
        values = at_step(step)
        self._job("parcel").document.update(values._asdict())
        self._job(values.at[0]).document.update(step=step)

    async def parcel(self) -> Values:
        return values_in(self._job("parcel").document())

    async def parcel_and_depot(self) -> tuple[Values, int]:
        values = await self.parcel()
        return values, self._job(values.at[0]).document()["step"]

    async def count(self) -> None:
        self._job("parcel").document.step += 1

    async def content(self) -> Content:
        found: Content = {}
        for job in self.project:
            try:
                found[job.statepoint["name"]] = values_in(job.document())
            except Exception:  # noqa: BLE001
                found[job.id] = None
        return found

    def _job(self, name: str) -> Any:
        return self.project.open_job({"name": name})


PEERS: list[type[Peer]] = [FileStorePeer, PickleStorePeer, TinyDBPeer, DiskCachePeer, SignacPeer]


def depots() -> list[str]:
    """The names of all depots."""
    return [f"depot-{number}" for number in range(2 + BYSTANDERS)]


def values_in(document: Any) -> Values:
    """The values in a mapping.

    Raises:
        KeyError: There is no step, so this is no record.
    """
    values = {name: document[name] for name in Values._fields if name in document}
    return Values(**{**values, "step": document["step"], "at": tuple(document.get("at", ()))})
