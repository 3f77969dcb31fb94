"""A store in plain dictionaries, to hold `FileStore` against.

It is written from constelite's documentation alone (the table of put, patch and delete by kind of
relationship) and shares no code with `FileStore`. Where the documentation leaves a case open, the
rule is stated here, once, in plain words:

- A graph is walked breadth first, fields in order of declaration. New records get uids in that
  order. One node is one record, however often it is met.
- Links are kept in first-seen order, each once.
- A record keeps its class, whatever related class is written over it; what that class has no field
  for is refused.
- A former member of a composition dies unless a living record still owns it, or the same call
  wrote it. What dies takes its own members with it, by the same rule, and all links to it.

:class:`Builder` and :func:`content` translate between the oracle's terms and constelite's.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from constelite.models import Dynamic, Ref, StateModel, StoreModel, StoreRecordModel, TimePoint

from tests import models

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from uuid import UUID

Kind = Literal["association", "aggregation", "composition"]
Points = list[tuple[float, float]]

BASES = {"Cat": "Creature", "Kitten": "Cat"}
STATICS = {
    "Human": ["name"],
    "Food": ["name"],
    "Creature": ["name"],
    "Cat": ["name", "age"],
    "Kitten": ["name", "age", "toy"],
    "Page": ["number"],
    "Book": ["title"],
    "Den": ["name"],
}
_CAT: dict[str, tuple[Kind, str]] = {
    "carer": ("association", "Human"),
    "likes": ("aggregation", "Food"),
    "kittens": ("composition", "Cat"),
}
LINKS: dict[str, dict[str, tuple[Kind, str]]] = {
    "Human": {"friends": ("aggregation", "Human")},
    "Cat": _CAT,
    "Kitten": _CAT,
    "Book": {"pages": ("composition", "Page")},
    "Den": {
        "resident": ("association", "Creature"),
        "visitors": ("aggregation", "Creature"),
        "litter": ("composition", "Cat"),
    },
}
SERIES = {"Cat": ["weight"], "Kitten": ["weight"]}
BACKREFS = {
    "Human": {"cats": ("Cat", "carer")},
    "Cat": {"mother": ("Cat", "kittens")},
    "Kitten": {"mother": ("Cat", "kittens")},
    "Page": {"book": ("Book", "pages")},
}


class Refused(Exception):  # noqa: N818
    """The operation must fail and change nothing.

    Attributes:
        error: Name of the error that the store must raise.
    """

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


@dataclass(eq=False)
class Node:
    """A state, as a caller gives it: what is absent was not given."""

    model: str
    statics: dict[str, Any] = field(default_factory=dict)
    series: dict[str, Points] = field(default_factory=dict)
    links: dict[str, list[Link]] = field(default_factory=dict)


@dataclass(eq=False)
class Link:
    """A ref: to a record, or to a state, or to a state that is to be written over a record."""

    uid: str | None = None
    node: Node | None = None
    foreign: bool = False


@dataclass
class Record:
    """What the store holds under one uid."""

    model: str
    statics: dict[str, Any] = field(default_factory=dict)
    series: dict[str, Points] = field(default_factory=dict)
    links: dict[str, list[str]] = field(default_factory=dict)


def is_a(model: str, other: str) -> bool:
    """Tell whether a model is another, or derives from it."""
    return model == other or (model in BASES and is_a(BASES[model], other))


class Oracle:
    """The store.

    Attributes:
        records: What it holds, by uid.
    """

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}

    # -- operations ----------------------------------------------------------------------------

    def put(self, link: Link, new_uid: Callable[[], str]) -> str:
        return self._all_or_nothing(lambda: _Write(self, "put", new_uid).run(link))

    def patch(self, link: Link, new_uid: Callable[[], str]) -> str:
        if link.uid is None:
            raise Refused("RecordNotFoundError")
        return self._all_or_nothing(lambda: _Write(self, "patch", new_uid).run(link))

    def create(self, node: Node, uid: str, new_uid: Callable[[], str]) -> str:
        if not uid.isalnum():
            raise Refused("InvalidUidError")
        if uid in self.records:
            raise Refused("RecordExistsError")
        uids = iter([uid])
        return self._all_or_nothing(
            lambda: _Write(self, "put", lambda: next(uids, None) or new_uid()).run(Link(node=node))
        )

    def delete(self, link: Link) -> None:
        self._all_or_nothing(lambda: self._delete(link))

    def _delete(self, link: Link) -> None:
        assert link.uid is not None
        self.check(link)
        self.bury([link.uid], condemned={link.uid})

    def _all_or_nothing(self, work: Callable[[], Any]) -> Any:
        before = deepcopy(self.records)
        try:
            return work()
        except Refused:
            self.records = before
            raise

    # -- questions -----------------------------------------------------------------------------

    def uids(self, model: str, where: Callable[[str], bool] = lambda uid: True) -> list[str]:
        """The records of a model and its subclasses, by model, then uid."""
        found = [uid for uid, record in self.records.items() if is_a(record.model, model)]
        found.sort(key=lambda uid: (self.records[uid].model, uid))
        return [uid for uid in found if where(uid)]

    def backrefs(self, uid: str) -> dict[str, list[str]]:
        """The records that link to a record, by the backref that shows them."""
        return {
            name: self.uids(
                source, lambda one, rel=rel: uid in self.records[one].links.get(rel, [])
            )
            for name, (source, rel) in BACKREFS.get(self.records[uid].model, {}).items()
        }

    def check(self, link: Link) -> None:
        """Refuse a link that names no record of this store."""
        if link.foreign:
            raise Refused("ForeignRefError")
        if link.uid not in self.records:
            raise Refused("RecordNotFoundError")

    # -- life and death ------------------------------------------------------------------------

    def owned(self, uid: str) -> list[str]:
        record = self.records[uid]
        kinds = LINKS.get(record.model, {})
        return [
            to
            for name in record.links
            if kinds[name][0] == "composition"
            for to in record.links[name]
        ]

    def bury(
        self, former: Iterable[str], *, condemned: Iterable[str] = (), spared: Iterable[str] = ()
    ) -> None:
        """Remove former members, with all that they own, unless something living owns them."""
        doomed = set(former)
        while more := {to for uid in doomed for to in self.owned(uid)} - doomed:
            doomed |= more
        doomed -= set(spared)
        while saved := {
            to
            for uid in self.records.keys() - doomed
            for to in self.owned(uid)
            if to in doomed and to not in condemned
        }:
            doomed -= saved
        for uid in doomed:
            del self.records[uid]
        for record in self.records.values():
            for name, targets in record.links.items():
                record.links[name] = [to for to in targets if to not in doomed]


class _Write:
    """One put or patch of a graph."""

    def __init__(
        self, oracle: Oracle, method: Literal["put", "patch"], new_uid: Callable[[], str]
    ) -> None:
        self.oracle = oracle
        self.method = method
        self.new_uid = new_uid
        self.met: dict[Node, list[str]] = {}
        self.queue: list[tuple[str, Node, bool]] = []
        self.orphans: list[str] = []

    def run(self, link: Link) -> str:
        top = self.resolve(link)
        for uid, node, new in self.queue:  # which grows meanwhile
            self.apply(uid, node, new)
        self.oracle.bury(self.orphans, spared=[uid for uid, _, _ in self.queue])
        return top

    def resolve(self, link: Link) -> str:
        """The record that a link means; a state that comes with it is queued to be written."""
        if link.node is None:
            if link.uid is None:
                raise Refused("UnsupportedValueError")
            self.oracle.check(link)
            return link.uid
        if link.uid is not None:
            self.oracle.check(link)
            model = self.oracle.records[link.uid].model
            if not is_a(model, link.node.model) and not is_a(link.node.model, model):
                raise Refused("ModelMismatchError")
            given = {*link.node.statics, *link.node.series, *link.node.links}
            if not given <= {*STATICS[model], *SERIES.get(model, ()), *LINKS.get(model, ())}:
                raise Refused("UnsupportedValueError")
        known = self.met.setdefault(link.node, [])
        if known and link.uid in (None, *known):
            return link.uid or known[0]
        uid = link.uid or self.new_uid()
        known.append(uid)
        self.queue.append((uid, link.node, link.uid is None))
        if link.uid is None:
            self.oracle.records[uid] = Record(link.node.model)
        return uid

    def apply(self, uid: str, node: Node, new: bool) -> None:
        record = self.oracle.records[uid]
        patching = self.method == "patch" and not new
        record.statics |= node.statics
        for name, points in node.series.items():
            stored = record.series.get(name, []) if patching else []
            added = [point for point in dict.fromkeys(points) if point not in stored]
            record.series[name] = stored + added if patching else list(points)
        for name, (kind, target) in LINKS.get(record.model, {}).items():
            if name not in node.links:
                continue
            targets = []
            for link in node.links[name]:
                targets.append(self.resolve(link))
                if not is_a(self.oracle.records[targets[-1]].model, target):
                    raise Refused("ModelMismatchError")
            before = record.links.get(name, [])
            if patching and kind != "association":
                targets = before + targets
            elif kind == "composition":
                self.orphans += [uid for uid in before if uid not in targets]
            record.links[name] = list(dict.fromkeys(targets))


# -- the oracle's terms and constelite's -----------------------------------------------------------


class Builder:
    """Makes the refs and states of one graph: for one node, however often it is met, one state.

    Args:
        store: Uid of the store that the refs are for.
        stranger: Uid of another store, for foreign links.
        records: What the oracle holds.
        uids: The store's uid for each of the oracle's; by default the same.
    """

    def __init__(
        self,
        store: UUID,
        stranger: UUID,
        records: Mapping[str, Record],
        uids: Mapping[str, str] | None = None,
    ) -> None:
        self._stores = {False: StoreModel(uid=store), True: StoreModel(uid=stranger)}
        self._records = records
        self._uids = uids or {}
        self._states: dict[Node, StateModel] = {}

    def ref(self, link: Link) -> Ref:
        """The ref that a link stands for, with all the states behind it."""
        record = None
        if link.uid is not None:
            uid = self._uids.get(link.uid, link.uid)
            record = StoreRecordModel(store=self._stores[link.foreign], uid=uid)
        known = self._records.get(link.uid or "")
        name = link.node.model if link.node is not None else known.model if known else "Cat"
        state = None if link.node is None else self.state(link.node)
        return Ref(record=record, state=state, state_model_name=name)

    def state(self, node: Node) -> StateModel:
        """The state that a node stands for."""
        if node not in self._states:
            state = self._states[node] = getattr(models, node.model)(**node.statics)
            for name, points in node.series.items():
                point = TimePoint[float]
                made = [point(timestamp=timestamp, value=value) for timestamp, value in points]
                setattr(state, name, Dynamic[float](points=made))
            for name, links in node.links.items():  # a cycle comes back to this state
                setattr(state, name, [self.ref(link) for link in links])
        return self._states[node]


def content(state: StateModel) -> dict[str, Any]:
    """What a state holds: what is None was not given."""
    model = type(state).__name__
    links = {name: getattr(state, name) for name in LINKS.get(model, {})}
    backrefs = {name: getattr(state, name) for name in BACKREFS.get(model, {})}
    series = {name: getattr(state, name) for name in SERIES.get(model, [])}
    statics = {name: getattr(state, name) for name in STATICS[model]}
    return {
        "model": model,
        "statics": {name: value for name, value in statics.items() if value is not None},
        "series": {
            name: [(point.timestamp, point.value) for point in one.points]
            for name, one in series.items()
            if one is not None
        },
        "links": {
            name: [to.uid for to in refs] for name, refs in links.items() if refs is not None
        },
        "backrefs": {
            name: [source.uid for source in refs or []] for name, refs in backrefs.items()
        },
    }
