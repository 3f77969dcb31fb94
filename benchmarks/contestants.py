"""The stores that are measured, each doing the same work as its users would do it.

A contestant keeps notes, volumes of sheets, and sensors (see :mod:`benchmarks.models`). What a
caller hands in, a state or a dict, is built by the methods called ``new_…`` and ``change``, which
are measured apart. The others are what is compared. A method that a store has nothing for is None.
"""

# The methods are documented once, in `Contestant`.
# ruff: noqa: D102

from __future__ import annotations

import importlib.util
import json
import os
import sqlite3
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID, uuid4

from constelite.models import Dynamic, Ref, StateModel, TimePoint, ref
from constelite.store.memory import MemoryStore
from constelite.store.pickle import PickleStore
from constelite.store.queries import PropertyQuery

from benchmarks import models
from benchmarks.models import Note, Sensor, Sheet, Volume
from filestore import FileStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_UID = UUID("5b0ba2ea-21ac-4f0c-a5f0-0f0b2a0b9a3e")


class Contestant(ABC):
    """A store, opened in a directory of its own.

    Attributes:
        title: Its name.
        package: What has to be installed for it; None if nothing has.
        configured: How it is used here.
        most: The largest store that it can be asked to fill in reasonable time.
    """

    title: ClassVar[str]
    package: ClassVar[str | None] = None
    configured: ClassVar[str]
    most: ClassVar[int] = 100_000

    extend: Callable[[Any, Any], Awaitable[object]] | None = None
    find: Callable[[str], Awaitable[list[Any]]] | None = None

    @abstractmethod
    def __init__(self, root: str) -> None:
        """Open the store in `root`."""

    @classmethod
    def is_installed(cls) -> bool:
        """Whether it can be measured here."""
        return cls.package is None or importlib.util.find_spec(cls.package) is not None

    # -- what the caller builds --------------------------------------------------------------------

    def new_note(self, number: int, tags: int = 10) -> Any:
        """A note to put."""
        return models.note(number, tags)

    def new_volume(self, number: int) -> Any:
        """A volume with new sheets to put."""
        return {"title": f"volume {number}"}, [{"number": n} for n in range(models.PAGES)]

    def new_sensor(self, points: int) -> Any:
        """A sensor with a series to put."""
        return {"name": "sensor"}, [(float(n), n / 3) for n in range(points)]

    def new_point(self, sensor: Any, number: int) -> Any:
        """A point to extend a series with."""
        return float(number), number / 3

    def change(self, handle: Any, number: int) -> Any:
        """A change of one property of a note."""
        return {"title": f"note {number}, changed"}

    # -- what is compared --------------------------------------------------------------------------

    @abstractmethod
    async def put(self, note: Any) -> Any:
        """Write a new note; returns what names it."""

    @abstractmethod
    async def get(self, handle: Any) -> Any:
        """Read a note."""

    @abstractmethod
    async def patch(self, handle: Any, change: Any) -> None:
        """Change one property of a note."""

    @abstractmethod
    async def put_many(self, notes: list[Any]) -> list[Any]:
        """Write new notes, in one transaction if the store has any; returns what names them."""

    @abstractmethod
    async def put_volume(self, volume: Any) -> Any:
        """Write a new volume and its sheets; returns what names the volume."""

    @abstractmethod
    async def get_volume(self, handle: Any) -> Any:
        """Read a volume with the names of its sheets."""

    @abstractmethod
    async def delete_volume(self, handle: Any) -> None:
        """Delete a volume and its sheets."""

    async def put_sensor(self, sensor: Any) -> Any:  # noqa: B027 (not all have series)
        """Write a new sensor with its series; returns what names it."""

    def close(self) -> None:  # noqa: B027 (most need none)
        """Close the store, if that is how it is used."""


# -- constelite's stores ---------------------------------------------------------------------------


class _Constelite(Contestant):
    """What is the same for all stores of constelite."""

    store: Any

    def new_note(self, number: int, tags: int = 10) -> Ref:
        return ref(Note(**models.note(number, tags)))

    def new_volume(self, number: int) -> Ref:
        sheets = [ref(Sheet(number=n)) for n in range(models.PAGES)]
        return ref(Volume(title=f"volume {number}", sheets=sheets))

    def new_sensor(self, points: int) -> Ref:
        found = [TimePoint[float](timestamp=n, value=n / 3) for n in range(points)]
        return ref(Sensor(name="sensor", readings=Dynamic[float](points=found)))

    def new_point(self, sensor: Ref, number: int) -> Ref:
        point = TimePoint[float](timestamp=number, value=number / 3)
        return _over(sensor, Sensor(readings=Dynamic[float](points=[point])))

    def change(self, handle: Ref, number: int) -> Ref:
        return _over(handle, Note(title=f"note {number}, changed"))

    async def put(self, note: Ref) -> Ref:
        return await self.store.put(note)

    async def get(self, handle: Ref) -> Ref:
        return await self.store.get(handle)

    async def patch(self, handle: Ref, change: Ref) -> None:
        await self.store.patch(change)

    async def put_many(self, notes: list[Ref]) -> list[Ref]:
        return [await self.store.put(note) for note in notes]

    async def put_volume(self, volume: Ref) -> Ref:
        return await self.store.put(volume)

    async def get_volume(self, handle: Ref) -> Ref:
        return await self.store.get(handle)

    async def delete_volume(self, handle: Ref) -> None:
        await self.store.delete(handle)

    async def put_sensor(self, sensor: Ref) -> Ref:
        return await self.store.put(sensor)

    async def extend(self, handle: Ref, point: Ref) -> None:
        await self.store.patch(point)


def _over(handle: Ref, state: StateModel) -> Ref:
    """A ref to a record, with a state to write over it."""
    found = ref(state)
    found.record = handle.record
    return found


class FileStoreContestant(_Constelite):
    """This project."""

    title = "FileStore"
    most = 1_000_000
    configured = "the defaults (`durable=False`)"

    def __init__(self, root: str) -> None:
        self.store = FileStore(root)

    async def put_many(self, notes: list[Ref]) -> list[Ref]:
        async with self.store.transaction():
            return await super().put_many(notes)

    async def find(self, tag: str) -> list[Ref]:
        return await self.store.query("Note", include_states=True, query=PropertyQuery(tag=tag))


class MemoryStoreContestant(_Constelite):
    """constelite's store without files: nothing survives the process."""

    title = "MemoryStore"
    configured = "nothing to configure; nothing survives the process"

    def __init__(self, root: str) -> None:
        self.store = MemoryStore(uid=_UID)


class PickleStoreContestant(_Constelite):
    """constelite's store on files: one pickle a record."""

    title = "PickleStore"
    configured = "nothing to configure but the directory"

    def __init__(self, root: str) -> None:
        self.store = PickleStore(uid=_UID, path=root)


# -- other stores ----------------------------------------------------------------------------------


class SQLiteContestant(Contestant):
    """SQLite with a table of JSON a model, as one builds it by hand."""

    title = "SQLite + JSON"
    most = 1_000_000
    configured = (
        "the standard library's, `journal_mode=WAL`, `synchronous=NORMAL`; a table a model of uid "
        "and JSON, an index on an expression; every put is a transaction"
    )

    def __init__(self, root: str) -> None:
        self.db = db = sqlite3.connect(f"{root}/data.sqlite", isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        for model in ("note", "sheet", "volume", "sensor"):
            db.execute(f"CREATE TABLE IF NOT EXISTS {model} (uid TEXT PRIMARY KEY, json TEXT)")
        db.execute("CREATE TABLE IF NOT EXISTS point (sensor TEXT, timestamp REAL, value REAL)")
        db.execute("CREATE INDEX IF NOT EXISTS tag ON note (json_extract(json, '$.tag'))")

    async def put(self, note: dict[str, Any]) -> str:
        return self._insert("note", note)

    async def get(self, handle: str) -> dict[str, Any]:
        return self._select("note", handle)

    async def patch(self, handle: str, change: dict[str, Any]) -> None:
        self.db.execute(
            "UPDATE note SET json = json_patch(json, ?) WHERE uid = ?",
            (json.dumps(change), handle),
        )

    async def put_many(self, notes: list[dict[str, Any]]) -> list[str]:
        rows = [(str(uuid4()), json.dumps(note)) for note in notes]
        with self.db:
            self.db.execute("BEGIN")
            self.db.executemany("INSERT INTO note VALUES (?, ?)", rows)
        return [uid for uid, _ in rows]

    async def put_volume(self, volume: tuple[dict[str, Any], list[dict[str, Any]]]) -> str:
        properties, sheets = volume
        with self.db:
            self.db.execute("BEGIN")
            uids = [self._insert("sheet", sheet) for sheet in sheets]
            return self._insert("volume", {**properties, "sheets": uids})

    async def get_volume(self, handle: str) -> dict[str, Any]:
        return self._select("volume", handle)

    async def delete_volume(self, handle: str) -> None:
        with self.db:
            self.db.execute("BEGIN")
            sheets = self._select("volume", handle)["sheets"]
            self.db.execute("DELETE FROM volume WHERE uid = ?", (handle,))
            self.db.executemany("DELETE FROM sheet WHERE uid = ?", [(uid,) for uid in sheets])

    async def put_sensor(self, sensor: tuple[dict[str, Any], list[tuple[float, float]]]) -> str:
        properties, points = sensor
        with self.db:
            self.db.execute("BEGIN")
            uid = self._insert("sensor", properties)
            rows = [(uid, *point) for point in points]
            self.db.executemany("INSERT INTO point VALUES (?, ?, ?)", rows)
        return uid

    async def extend(self, handle: str, point: tuple[float, float]) -> None:
        self.db.execute("INSERT INTO point VALUES (?, ?, ?)", (handle, *point))

    async def find(self, tag: str) -> list[Note]:
        rows = self.db.execute(
            "SELECT json FROM note WHERE json_extract(json, '$.tag') = ?", (tag,)
        )
        return [Note(**json.loads(text)) for (text,) in rows]

    def close(self) -> None:
        self.db.close()

    def _insert(self, table: str, document: dict[str, Any]) -> str:
        uid = str(uuid4())
        self.db.execute(f"INSERT INTO {table} VALUES (?, ?)", (uid, json.dumps(document)))
        return uid

    def _select(self, table: str, uid: str) -> dict[str, Any]:
        (text,) = self.db.execute(f"SELECT json FROM {table} WHERE uid = ?", (uid,)).fetchone()
        return dict(json.loads(text))


class TinyDBContestant(Contestant):
    """TinyDB with its default storage: one JSON file, rewritten by every write."""

    title = "TinyDB"
    package = "tinydb"
    configured = "the default storage; a table a model"

    def __init__(self, root: str) -> None:
        from tinydb import TinyDB

        self.db = TinyDB(f"{root}/db.json")
        self.notes, self.sheets = self.db.table("note"), self.db.table("sheet")
        self.volumes, self.sensors = self.db.table("volume"), self.db.table("sensor")

    async def put(self, note: dict[str, Any]) -> int:
        return int(self.notes.insert(note))

    async def get(self, handle: int) -> Any:
        return self.notes.get(doc_id=handle)

    async def patch(self, handle: int, change: dict[str, Any]) -> None:
        self.notes.update(change, doc_ids=[handle])

    async def put_many(self, notes: list[dict[str, Any]]) -> list[int]:
        return list(self.notes.insert_multiple(notes))

    async def put_volume(self, volume: tuple[dict[str, Any], list[dict[str, Any]]]) -> int:
        properties, sheets = volume
        return int(
            self.volumes.insert({**properties, "sheets": self.sheets.insert_multiple(sheets)})
        )

    async def get_volume(self, handle: int) -> Any:
        return self.volumes.get(doc_id=handle)

    async def delete_volume(self, handle: int) -> None:
        self.sheets.remove(doc_ids=self.volumes.get(doc_id=handle)["sheets"])
        self.volumes.remove(doc_ids=[handle])

    async def put_sensor(self, sensor: tuple[dict[str, Any], list[tuple[float, float]]]) -> int:
        properties, points = sensor
        return int(self.sensors.insert({**properties, "readings": points}))

    async def extend(self, handle: int, point: tuple[float, float]) -> None:
        self.sensors.update(lambda document: document["readings"].append(point), doc_ids=[handle])

    async def find(self, tag: str) -> list[Any]:
        from tinydb import where

        return list(self.notes.search(where("tag") == tag))

    def close(self) -> None:
        self.db.close()


class DiskCacheContestant(Contestant):
    """diskcache's `Index`, which evicts nothing; a series is its `Deque`."""

    title = "diskcache"
    package = "diskcache"
    configured = "an `Index`, which evicts nothing; a series is a `Deque`; it has no queries"

    def __init__(self, root: str) -> None:
        from diskcache import Deque, Index

        self.index = Index(f"{root}/index")
        self.series = Deque(directory=f"{root}/series")

    async def put(self, note: Any) -> str:
        uid = str(uuid4())
        self.index[uid] = note
        return uid

    async def get(self, handle: str) -> Any:
        return self.index[handle]

    async def patch(self, handle: str, change: dict[str, Any]) -> None:
        with self.index.transact():
            self.index[handle] = {**self.index[handle], **change}

    async def put_many(self, notes: list[Any]) -> list[str]:
        with self.index.transact():
            return [await self.put(note) for note in notes]

    async def put_volume(self, volume: tuple[dict[str, Any], list[dict[str, Any]]]) -> str:
        properties, sheets = volume
        with self.index.transact():
            uids = [await self.put(sheet) for sheet in sheets]
            return await self.put({**properties, "sheets": uids})

    async def get_volume(self, handle: str) -> Any:
        return self.index[handle]

    async def delete_volume(self, handle: str) -> None:
        with self.index.transact():
            for uid in self.index.pop(handle)["sheets"]:
                del self.index[uid]

    async def put_sensor(self, sensor: tuple[dict[str, Any], list[tuple[float, float]]]) -> str:
        properties, points = sensor
        with self.series.transact():
            self.series.extend(points)
        return await self.put(properties)

    async def extend(self, handle: str, point: tuple[float, float]) -> None:
        self.series.append(point)

    def close(self) -> None:
        self.index.cache.close()
        self.series.cache.close()


class SignacContestant(Contestant):
    """signac: a record is a job, its values are the job's document."""

    title = "signac"
    package = "signac"
    most = 1_000
    configured = (
        "a record is a job, its values are the job's document; it has no transactions, and series "
        "are the user's own files"
    )

    def __init__(self, root: str) -> None:
        import signac

        self.project = signac.init_project(root)

    async def put(self, note: dict[str, Any]) -> Any:
        job = self.project.open_job({"uid": str(uuid4())}).init()
        job.document.update(note)
        return job.id

    async def get(self, handle: str) -> Any:
        return self.project.open_job(id=handle).document()

    async def patch(self, handle: str, change: dict[str, Any]) -> None:
        self.project.open_job(id=handle).document.update(change)

    async def put_many(self, notes: list[Any]) -> list[Any]:
        return [await self.put(note) for note in notes]

    async def put_volume(self, volume: tuple[dict[str, Any], list[dict[str, Any]]]) -> Any:
        properties, sheets = volume
        return await self.put({**properties, "sheets": [await self.put(s) for s in sheets]})

    async def get_volume(self, handle: str) -> Any:
        return await self.get(handle)

    async def delete_volume(self, handle: str) -> None:
        volume = self.project.open_job(id=handle)
        for uid in volume.document()["sheets"]:
            self.project.open_job(id=uid).remove()
        volume.remove()


# -- the floor -------------------------------------------------------------------------------------


class Floor(Contestant):
    """The system calls that the format of the files needs, in a tight loop, and nothing else.

    A new or replaced file is written aside and renamed into place. No log, no lock, no JSON.
    """

    title = "floor"
    most = 1_000_000
    configured = (
        "the bare system calls that the files need: write aside and rename, open and read, unlink, "
        "append; no log, no lock, no JSON"
    )

    def __init__(self, root: str) -> None:
        self.root, self.numbers = root, iter(range(1 << 40))
        for directory in ("Note", "Sheet", "Volume", "Sensor"):
            os.makedirs(f"{root}/{directory}", exist_ok=True)

    def new_note(self, number: int, tags: int = 10) -> bytes:
        return json.dumps(models.note(number, tags), indent=2).encode()

    def new_volume(self, number: int) -> list[bytes]:
        sheet = json.dumps({"model_name": "Sheet", "number": 1}, indent=2).encode()
        links = json.dumps({"sheets": [f"Sheet/{uuid4()}"] * models.PAGES}, indent=2).encode()
        return [self.new_note(number), links] + models.PAGES * [sheet]

    def new_sensor(self, points: int) -> bytes:
        return b"".join(self.new_point(None, n) for n in range(points))

    def new_point(self, sensor: Any, number: int) -> bytes:
        return json.dumps({"timestamp": number, "value": number / 3}).encode() + b"\n"

    def change(self, handle: Any, number: int) -> bytes:
        return self.new_note(number)

    async def put(self, note: bytes) -> str:
        return self._write(f"Note/{next(self.numbers)}.json", note)

    async def get(self, handle: str) -> bytes:
        return self._read(handle)

    async def patch(self, handle: str, change: bytes) -> None:
        self._write(handle, change)

    async def put_many(self, notes: list[bytes]) -> list[str]:
        return [await self.put(note) for note in notes]

    async def put_volume(self, volume: list[bytes]) -> list[str]:
        number = next(self.numbers)
        names = [f"Volume/{number}.json", f"Volume/{number}.rels.json"]
        names += [f"Sheet/{number}-{n}.json" for n in range(len(volume) - 2)]
        return [self._write(name, data) for name, data in zip(names, volume, strict=True)]

    async def get_volume(self, handle: list[str]) -> list[bytes]:
        return [self._read(path) for path in handle[:2]]

    async def delete_volume(self, handle: list[str]) -> None:
        for path in handle:
            os.unlink(path)

    async def put_sensor(self, sensor: bytes) -> str:
        return self._write("Sensor/1.jsonl", sensor)

    async def extend(self, handle: str, point: bytes) -> None:
        number = os.open(handle, os.O_WRONLY | os.O_APPEND)
        os.write(number, point)
        os.close(number)

    def _write(self, name: str, data: bytes) -> str:
        path = name if name.startswith("/") else f"{self.root}/{name}"
        number = os.open(f"{self.root}/next", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.write(number, data)
        os.close(number)
        os.rename(f"{self.root}/next", path)
        return path

    def _read(self, path: str) -> bytes:
        number = os.open(path, os.O_RDONLY)
        data = os.read(number, 4096)
        os.close(number)
        return data


CONTESTANTS: list[type[Contestant]] = [
    FileStoreContestant,
    MemoryStoreContestant,
    PickleStoreContestant,
    SQLiteContestant,
    TinyDBContestant,
    DiskCacheContestant,
    SignacContestant,
    Floor,
]
