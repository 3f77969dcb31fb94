"""End to end over HTTP: constelite's API serves a store on loopback to constelite's own client."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
import warnings
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Optional

import graphql_query
import orjson
import pytest
import requests
import uvicorn
from constelite.graphql.utils import GraphQLModelQuery, GraphQLQuery
from constelite.models import (
    Aggregation,
    Association,
    Composition,
    Dynamic,
    Ref,
    StateModel,
    TimePoint,
    backref,
    ref,
)
from constelite.store.queries import PropertyQuery

from filestore import FileStore

if TYPE_CHECKING:
    from collections.abc import Iterator

# constelite uses what litestar is going to remove.
with warnings.catch_warnings():
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="litestar")
    from constelite.api.starlite.api import StarliteAPI
    from constelite.api.starlite.client import StarliteClient

NOON = datetime(2024, 5, 6, 12, tzinfo=UTC)


class Grade(StrEnum):
    """An enum that JSON shows as a text."""

    GOOD = "good"


class Vineyard(StateModel):
    """Has a backref."""

    name: str
    wines: backref(model="Wine", from_field="grown_at")  # type: ignore[valid-type]


class Bottle(StateModel):
    """Owned by wines."""

    number: int


class Wine(StateModel):
    """One relationship of each kind, a time series, and properties that JSON has no types for."""

    name: str
    opened: Optional[datetime]
    sweet: Optional[bool]
    grade: Optional[Grade]
    warmth: Optional[Dynamic[float]]
    grown_at: Optional[Association[Vineyard]]
    bottles: Optional[Composition[Bottle]]
    goes_with: Optional[Aggregation[Wine]]


for _cls in (Vineyard, Wine):
    _cls.update_forward_refs(Wine=Wine)


def make_app(store: FileStore) -> Any:
    """The application that serves a store."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="litestar")
        return StarliteAPI(name="api", stores=[store]).generate_app()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FileStore, str]]:
    """A store that is served, and the URL."""
    store = FileStore(tmp_path_factory.mktemp("served") / "data", name="Cellar")
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(make_app(store), log_level="error", lifespan="off", ws="none")
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.started
    yield store, f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    listening.close()


@pytest.fixture
def store(served: tuple[FileStore, str]) -> Iterator[FileStore]:
    """The store that is served; what a test leaves behind is deleted."""
    yield served[0]
    asyncio.run(empty(served[0]))


async def empty(store: FileStore) -> None:
    """Delete every record."""
    async with store.transaction():
        for hit in await store.query("StateModel", include_states=False):
            if await store.uid_exists(hit.uid):
                await store.delete(hit)


@pytest.fixture
def remote(served: tuple[FileStore, str]) -> Iterator[Any]:
    """The store's methods as constelite's client has them."""
    client = StarliteClient(served[1])
    yield client.store
    client._http.close()


def test_put_get_patch_and_delete(store: FileStore, remote: Any) -> None:
    vineyard = remote.put(ref=ref(Vineyard(name="Hill")), store=store)
    assert isinstance(vineyard, Ref)
    assert (vineyard.state_model_name, vineyard.state) == ("Vineyard", None)
    assert vineyard.record.store.dict() == {"uid": store.uid, "name": "Cellar"}
    wine = Wine(
        name="Red",
        opened=NOON,
        sweet=False,
        grade=Grade.GOOD,
        warmth=Dynamic[float](points=[TimePoint[float](timestamp=0, value=12.5)]),
        grown_at=[vineyard],
        bottles=[ref(Bottle(number=1)), ref(Bottle(number=2))],
    )
    put = remote.put(ref=ref(wine), store=store)

    state = asyncio.run(store.get(put)).state
    assert (state.name, state.opened, state.sweet, state.grade) == ("Red", NOON, False, Grade.GOOD)
    got = remote.get(ref=put)
    assert type(got.state) is Wine
    assert (got.state.opened, got.state.grade) == (NOON, Grade.GOOD)
    assert [point.value for point in got.state.warmth.points] == [12.5]
    assert got.state.grown_at[0].uid == vineyard.uid
    assert [back.uid for back in remote.get(ref=vineyard).state.wines] == [put.uid]

    more = Wine(
        name="Rosé",
        warmth=Dynamic[float](points=[TimePoint[float](timestamp=1, value=13)]),
        bottles=[ref(Bottle(number=3))],
    )
    patched = remote.patch(ref=ref(more, uid=put.uid, store=store))
    assert patched.uid == put.uid
    got = remote.get(ref=put)
    assert (got.state.name, got.state.sweet) == ("Rosé", False)
    assert [point.value for point in got.state.warmth.points] == [12.5, 13]
    numbers = [remote.get(ref=bottle).state.number for bottle in got.state.bottles]
    assert numbers == [1, 2, 3]

    kept = Wine(name="White", bottles=got.state.bottles[1:2])
    remote.put(ref=ref(kept, uid=put.uid, store=store))
    assert len(remote.query(model_name="Bottle", store=store)) == 1
    remote.delete(ref=put)
    assert remote.query(model_name="StateModel", store=store) == [remote.get(ref=vineyard).strip()]
    assert asyncio.run(store.query("Wine", include_states=False)) == []


def test_what_was_got_can_be_put_and_patched(store: FileStore, remote: Any) -> None:
    wine = Wine(name="Red", opened=NOON, bottles=[ref(Bottle(number=1))])
    put = remote.put(ref=ref(wine), store=store)
    files = {path: path.read_bytes() for path in store.root.glob("*/*.json*")}
    remote.put(ref=remote.get(ref=put))
    remote.patch(ref=remote.get(ref=put))
    assert {path: path.read_bytes() for path in store.root.glob("*/*.json*")} == files


def test_query(store: FileStore, remote: Any) -> None:
    vineyard = remote.put(ref=ref(Vineyard(name="Hill")), store=store)
    early, late = [
        remote.put(ref=ref(Wine(name=str(day), opened=NOON.replace(day=day), **rest)), store=store)
        for day, rest in ((1, {"sweet": True, "grown_at": [vineyard]}), (2, {"grade": "good"}))
    ]

    def found(**wanted: Any) -> list[str]:
        query = PropertyQuery(property_values=wanted)
        refs = remote.query(query=query, model_name="Wine", include_states=True, store=store)
        assert all(isinstance(hit.state, Wine) for hit in refs)
        return [hit.uid for hit in refs]

    assert found() == sorted([early.uid, late.uid])
    assert found(opened="2024-05-01T12:00:00Z") == [early.uid]
    assert found(opened=NOON.replace(day=2)) == [late.uid]
    assert found(sweet=True) == found(sweet=1) == [early.uid]
    assert found(grade=Grade.GOOD) == [late.uid]
    assert found(grade=None) == [early.uid]
    assert found(opened__gte="2024-05-02T00:00:00Z") == [late.uid]
    assert found(name__in=["1", "2"], grown_at__isnull=False) == [early.uid]
    assert found(grown_at=vineyard.uid) == found(grown_at=vineyard) == [early.uid]
    assert found(opened="2024-05-01T12:00:00Z", sweet=False) == []
    [bare, _] = remote.query(model_name="Wine", store=store)
    assert bare.state is None


def test_graphql(store: FileStore, remote: Any) -> None:
    vineyard = remote.put(ref=ref(Vineyard(name="Hill")), store=store)
    put = remote.put(ref=ref(Wine(name="Red", opened=NOON, grown_at=[vineyard])), store=store)
    query = """{wines(opened: "2024-05-06T14:00:00+02:00") {
        record {uid} state {name opened grown_at {state {name wines {record {uid}}}}}
    }}"""
    data = remote.graphql(query=GraphQLQuery(query_string=query), store=store)
    assert data == {
        "data": {
            "wines": [
                {
                    "record": {"uid": put.uid},
                    "state": {
                        "name": "Red",
                        "opened": "2024-05-06T12:00:00+00:00",
                        "grown_at": [
                            {"state": {"name": "Hill", "wines": [{"record": {"uid": put.uid}}]}}
                        ],
                    },
                }
            ]
        }
    }


def test_graphql_models(store: FileStore, remote: Any) -> None:
    vineyard = remote.put(ref=ref(Vineyard(name="Hill")), store=store)
    put = remote.put(
        ref=ref(Wine(name="Red", opened=NOON, grade=Grade.GOOD, grown_at=[vineyard])), store=store
    )
    grown_at = graphql_query.Field(name="grown_at", fields=["name"])
    query = GraphQLModelQuery(
        state_model_name="Wine",
        state_fields=["name", "opened", "grade", grown_at],
        arguments={"name": '"Red"'},
    )
    [found] = remote.graphql_models(query=query, store=store)
    assert isinstance(found, Ref)
    assert (found.uid, type(found.state)) == (put.uid, Wine)
    assert (found.state.name, found.state.opened, found.state.grade) == ("Red", NOON, Grade.GOOD)
    assert found.state.sweet is None
    [linked] = found.state.grown_at
    assert (linked.uid, type(linked.state), linked.state.name) == (vineyard.uid, Vineyard, "Hill")


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        (
            "get",
            {"ref": ref(Wine, uid="nobody", store=None)},
            ["RecordNotFoundError", "Wine/nobody"],
        ),
        ("query", {"model_name": "Wine", "query": {"colour": 1}}, ["no property 'colour'", "name"]),
        ("query", {"model_name": "Dragon"}, ["'Dragon'", "import"]),
        (
            "put",
            {"ref": Ref(state=Wine(name="x", bottles=[Ref(state_model_name="Bottle")]))},
            ["Wine.bottles[0]", "ref(…)"],
        ),
    ],
)
def test_an_error_of_the_store_says_what_to_do(
    served: tuple[FileStore, str],
    store: FileStore,
    remote: Any,
    path: str,
    body: dict[str, Any],
    told: list[str],
) -> None:
    identity = orjson.loads(store.json())
    body = {name: orjson.loads(v.json()) if isinstance(v, Ref) else v for name, v in body.items()}
    if path == "get":
        body["ref"]["record"] = {"uid": "nobody", "store": identity}
    if "query" in body:
        body["query"] = {"property_values": body["query"]}
    with requests.post(
        f"{served[1]}/store/{path}", json={"store": identity, **body}, timeout=30
    ) as got:
        assert got.status_code == 500
        message = got.json()["extra"]["error_message"]
    for text in told:
        assert text in message
    with pytest.raises(SystemError, match="Internal Server Error"):
        remote.get(ref=ref(Wine, uid="nobody", store=store))


def test_many_clients_write_at_once(store: FileStore, served: tuple[FileStore, str]) -> None:
    """The server's event loop and one of this process share a store object."""
    refs: list[Ref] = []

    def put_some(start: int) -> None:
        client = StarliteClient(served[1])
        refs.extend(
            client.store.put(ref=ref(Bottle(number=start + n)), store=store) for n in range(5)
        )
        client._http.close()

    threads = [threading.Thread(target=put_some, args=(start,)) for start in (0, 5, 10)]
    for thread in threads:
        thread.start()

    async def put_here() -> None:
        refs.extend([await store.put(ref(Bottle(number=15 + n))) for n in range(5)])

    asyncio.run(put_here())
    for thread in threads:
        thread.join()
    found = asyncio.run(store.query("Bottle", include_states=True))
    assert sorted(hit.state.number for hit in found) == list(range(20))
    assert {hit.uid for hit in found} == {put.uid for put in refs}
