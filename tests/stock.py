"""Models and shorthands of the tests that compare FileStore with constelite's stock stores."""

from pathlib import Path
from typing import Any, Optional

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

from filestore import FileStore
from tests.models import Creature, Page


class Troupe(StateModel):
    """Holds what it links to in every way."""

    members: Optional[Aggregation[Creature]]
    star: Optional[Association[Creature]]
    stage: Optional[Composition[Page]]


class Handler(StateModel):
    """Has two backrefs on one field, and a subclass with one more."""

    name: Optional[str]
    tours: backref(model="Outing", from_field="handlers")  # type: ignore[valid-type]
    trips: backref(model="Outing", from_field="handlers")  # type: ignore[valid-type]


class SeniorHandler(Handler):
    """Declares a backref that its base class, which the relationship names, lacks."""

    led: backref(model="Outing", from_field="leader")  # type: ignore[valid-type]


class Outing(StateModel):
    """Links to handlers."""

    handlers: Optional[Aggregation[Handler]]
    leader: Optional[Association[Handler]]


class Casket(StateModel):
    """Owns boxes."""

    label: Optional[str]
    boxes: Optional[Composition["Casket"]]
    first: Optional[Association["Casket"]]
    outer: backref(model="Casket", from_field="boxes")  # type: ignore[valid-type]


for _cls in (Handler, SeniorHandler, Outing, Casket):
    _cls.update_forward_refs(Outing=Outing, Casket=Casket)


def weights(*points: tuple[float, float]) -> Dynamic[float]:
    """A time series."""
    return Dynamic[float](points=[TimePoint[float](timestamp=t, value=v) for t, v in points])


def over(store: Any, target: Ref, state: StateModel) -> Ref:
    """A ref that writes a state over a record."""
    return ref(state, uid=target.uid, store=store)


async def state_of(store: Any, target: Ref) -> Any:
    """The state of a record."""
    return (await store.get(target)).state


async def everything(store: FileStore) -> list[str]:
    """Every record of the store as ``Model/uid``."""
    hits = await store.query("StateModel", include_states=False)
    return [f"{hit.state_model_name}/{hit.uid}" for hit in hits]


def uids(refs: list[Ref]) -> list[str]:
    """The uids of refs."""
    return [item.uid for item in refs]


def on_disk(root: Path) -> dict[str, bytes]:
    """Every record file with its bytes."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.glob("*/*.json*")}
