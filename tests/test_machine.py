"""Random operations on a random graph, held against :mod:`tests.oracle` after every step.

After each one the files are canonical and say exactly what the oracle says, nothing of a deleted
record is left, every link resolves, and the store reads the same content back in every way it has.
While a transaction is open, the files and other readers still see what was committed before it.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import shutil
import tempfile
from collections import Counter
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from constelite.models import Ref
from constelite.store.queries import PropertyQuery
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

import filestore
from filestore import FileStore
from filestore.check import check
from tests import oracle
from tests.oracle import Builder, Link, Node, Oracle, Refused, content, is_a

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from random import Random

# Cats have links of every kind, so half of the records are cats.
CLASSES = [*oracle.STATICS, "Cat", "Cat", "Cat", "Cat", "Kitten", "Den", "Book"]
ROOTS = ("Human", "Food", "Creature", "Page", "Book", "Den")
VALUES: dict[str, list[Any]] = {
    "name": ["Tom", "Ada", "Ünal", "☃"],
    "title": ["Ulysses", "Emma"],
    "toy": ["ball", "mouse"],
    "age": [0, 1, 2, 3],
    "number": [1, 2, 3],
}
REQUIRED = ("Human.name", "Page.number", "Book.title")
POINTS = [(0.0, 4.0), (0.0, 4.25), (1.5, 4.0), (60.0, -1.0)]
RANDOMS = st.randoms(use_true_random=True)  # which shrinks badly, but makes rich graphs


class Machine(RuleBasedStateMachine):
    """One data directory, one event loop, and the oracle beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="filestore-"))
        self.runner = asyncio.Runner()
        self.step = 0
        self.counts: Counter[str] = Counter()
        self.oracle = Oracle()
        self.committed = Oracle()
        self.transactions: list[tuple[Any, Oracle]] = []
        self.ending = False
        self.stranger = uuid4()
        self.open_store()

    def teardown(self) -> None:
        while self.transactions:
            self.end_transaction(ValueError("the example is over"))
        self.runner.close()
        problems = check(str(self.root / "data"))
        shutil.rmtree(self.root)
        assert problems == []

    def open_store(self) -> None:
        self.store = FileStore(self.root / "data", uid_factory=lambda: self.new_uid("store"))

    def new_uid(self, side: str) -> str:
        """Both sides get the same uids; a refused operation may use up some on one side only."""
        self.counts[side] += 1
        return f"r{self.step:02}x{self.counts[side]:02}"

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    def both(
        self, store: Callable[[], Coroutine[Any, Any, Any]], model: Callable[[], Any]
    ) -> str | None:
        """Do it on both sides; if the oracle refuses, the store must raise that error.

        Returns:
            The name of the error, or None.
        """
        self.step += 1
        self.counts.clear()
        try:
            expected = model()
        except Refused as refusal:
            with pytest.raises(getattr(filestore, refusal.error)):
                self.run(store())
            return refusal.error
        found = self.run(store())
        assert (found.uid if isinstance(found, Ref) else found) == expected
        return None

    # -- what to write -------------------------------------------------------------------------

    def some_graph(self, random: Random, top: str | None = None, size: int = 3) -> Link:
        """A ref to the first of a few states that are linked with each other and with records."""
        model = None if top is None else self.oracle.records[top].model
        related = [one for one in CLASSES if model is None or is_a(one, model) or is_a(model, one)]
        nodes = [some_node(random, random.choice(related))]
        nodes += [some_node(random, random.choice(CLASSES)) for _ in range(random.randint(0, size))]
        for node in nodes:
            for name, (_, target) in oracle.LINKS.get(node.model, {}).items():
                if random.random() < 0.7:
                    node.links[name] = self.some_links(random, nodes, target)
        return Link(uid=top, node=nodes[0])

    def some_links(self, random: Random, nodes: list[Node], target: str) -> list[Link]:
        """Refs to states, to records, and to states that are to be written over records."""
        records = self.oracle.uids(target)
        links = []
        for _ in range(random.randint(0, 3)):
            choices = [Link(node=node) for node in nodes if is_a(node.model, target)]
            if records:
                uid = random.choice(records)
                model = self.oracle.records[uid].model
                choices += [Link(uid=uid), Link(uid=uid)]
                choices += [Link(uid=uid, node=node) for node in nodes if node.model == model]
            if choices:
                links.append(random.choice(choices))
        return links

    def some_record(self, random: Random, *, owner: bool = False) -> str | None:
        found = [uid for uid in sorted(self.oracle.records) if not owner or self.oracle.owned(uid)]
        return random.choice(found) if found else None

    def ref(self, link: Link) -> Ref:
        return self.builder().ref(link)

    def builder(self) -> Builder:
        return Builder(self.store.uid, self.stranger, self.oracle.records)

    # -- operations ----------------------------------------------------------------------------

    @initialize(random=RANDOMS)
    def populate(self, random: Random) -> None:
        for _ in range(6):
            self.put(self.some_graph(random, size=8))

    @rule(random=RANDOMS)
    def put_new(self, random: Random) -> None:
        self.put(self.some_graph(random))

    @rule(random=RANDOMS)
    def put_over(self, random: Random) -> None:
        self.put(self.some_graph(random, self.some_record(random)))

    @rule(random=RANDOMS)
    def patch_record(self, random: Random) -> None:
        self.patch(self.some_graph(random, self.some_record(random)))

    @rule(random=RANDOMS)
    def regroup(self, random: Random) -> None:
        """An owner keeps some of its members, loses others, and gets some from elsewhere."""
        owner = self.some_record(random, owner=True)
        if owner is not None:
            record = self.oracle.records[owner]
            node = some_node(random, record.model)
            for name, (kind, target) in oracle.LINKS[record.model].items():
                if kind == "composition":
                    kept = [uid for uid in record.links.get(name, []) if random.random() < 0.5]
                    node.links[name] = [Link(uid=uid) for uid in kept]
                    node.links[name] += self.some_links(random, [node], target)
            self.put(Link(uid=owner, node=node))

    @rule(random=RANDOMS, uid=st.sampled_from(["snowball", "tom", "felix", "../x"]))
    def create(self, random: Random, uid: str) -> None:
        link = self.some_graph(random)
        note(f"create {link} as {uid}")
        assert link.node is not None
        node = link.node
        self.both(
            lambda: self.store.create(self.builder().state(node), uid),
            lambda: self.oracle.create(node, uid, lambda: self.new_uid("oracle")),
        )

    @rule(random=RANDOMS, owner=st.booleans())
    def delete(self, random: Random, owner: bool) -> None:
        link = Link(uid=self.some_record(random, owner=owner))
        if link.uid is not None:
            note(f"delete {link}")
            self.both(lambda: self.store.delete(self.ref(link)), lambda: self.oracle.delete(link))

    def put(self, link: Link) -> str | None:
        note(f"put {link}")
        return self.both(
            lambda: self.store.put(self.ref(link)),
            lambda: self.oracle.put(link, lambda: self.new_uid("oracle")),
        )

    def patch(self, link: Link) -> str | None:
        note(f"patch {link}")
        return self.both(
            lambda: self.store.patch(self.ref(link)),
            lambda: self.oracle.patch(link, lambda: self.new_uid("oracle")),
        )

    # -- operations that must fail and change nothing --------------------------------------------

    @rule(random=RANDOMS)
    def refused(self, random: Random) -> None:
        """One bad ref, somewhere in a graph that would be fine without it."""
        link = self.some_graph(random, random.choice([None, self.some_record(random)]))
        if link.node is None or not link.node.links:
            link = Link(node=Node("Den", links={"visitors": []}))
        assert link.node is not None
        name = random.choice(sorted(link.node.links))
        spot = link.node.links[name]
        bad = self.some_bad_link(random, oracle.LINKS[link.node.model][name][1])
        spot.insert(random.randint(0, len(spot)), bad)
        method = self.patch if link.uid is not None and random.random() < 0.5 else self.put
        assert method(link) is not None

    def some_bad_link(self, random: Random, target: str) -> Link:
        bad = [Link(), Link(uid="nowhere"), Link(uid="nowhere", node=some_node(random, "Cat"))]
        uid = self.some_record(random)
        if uid is not None:
            unrelated = "Page" if self.oracle.records[uid].model == "Food" else "Food"
            bad += [Link(uid=uid, foreign=True)]
            bad += [Link(uid=uid, node=some_node(random, unrelated))]
        wrong = [uid for uid, one in self.oracle.records.items() if not is_a(one.model, target)]
        bad += [Link(uid=uid) for uid in sorted(wrong)[:1]]
        return random.choice(bad)

    # -- units of work ---------------------------------------------------------------------------

    @rule(error=st.sampled_from([None, ValueError("the caller changed their mind")]))
    def unit_of_work(self, error: Exception | None) -> None:
        """Begin one, then one inside it, then end both."""
        if len(self.transactions) < 2 and not self.ending:
            unit = self.store.transaction()
            self.run(unit.__aenter__())
            self.transactions.append((unit, deepcopy(self.oracle)))
        else:
            self.end_transaction(error)
        self.ending = self.transactions != [] and (self.ending or len(self.transactions) == 2)

    def end_transaction(self, error: Exception | None) -> None:
        unit, before = self.transactions.pop()
        if error is None:
            self.run(unit.__aexit__(None, None, None))
        else:
            assert not self.run(unit.__aexit__(type(error), error, None))
            self.oracle = before

    # -- reading ---------------------------------------------------------------------------------

    @rule(random=RANDOMS)
    def look(self, random: Random) -> None:
        """Whatever changes nothing."""
        random.choice([self.write_back, self.query, self.open_again, self.gone])(random)

    def write_back(self, random: Random) -> None:
        """What was read can be put and patched as it is, and not a file is touched (P2, P3)."""
        uid = self.some_record(random)
        if uid is not None:
            before = self.stamps()
            ref = self.run(self.store.get(self.ref(Link(uid=uid))))
            for write in (self.store.put, self.store.patch):
                assert self.run(write(ref)).uid == uid
            assert self.stamps() == before

    def query(self, random: Random) -> None:
        """By property, by relationship, by backref."""
        uid = self.some_record(random)
        if uid is None:
            return
        model = self.oracle.records[uid].model
        links = [*oracle.LINKS.get(model, {}), *oracle.BACKREFS.get(model, {})]
        name = random.choice([*oracle.STATICS[model], *links])
        wanted = random.choice(VALUES.get(name) or sorted(self.oracle.records))

        def matches(uid: str) -> bool:
            record = self.oracle.records[uid]
            if name in VALUES:
                return bool(record.statics.get(name) == wanted)
            links = record.links if name in record.links else self.oracle.backrefs(uid)
            return wanted in links.get(name, [])

        found = self.run(self.store.query(model, True, PropertyQuery(**{name: wanted})))
        assert [ref.uid for ref in found] == self.oracle.uids(model, matches)
        assert all(wanted == getattr(ref.state, name) for ref in found if name in VALUES)

    def open_again(self, random: Random) -> None:
        """In another process, say; what can be derived may be lost before, open store or not."""
        runtime = self.root / "data" / ".filestore"
        if not self.transactions:
            lost = random.choice(["nothing", "index.sqlite", "log", "tmp", "."])
            if (runtime / lost).is_file():
                (runtime / lost).unlink()
            shutil.rmtree(runtime / lost, ignore_errors=True)
        if random.random() < 0.5:
            uid = self.store.uid
            self.open_store()
            assert self.store.uid == uid

    def gone(self, _: Random) -> None:
        """What is not there cannot be read, deleted or written over."""
        ref = self.ref(Link(uid="nowhere", node=Node("Cat")))
        for method in (self.store.put, self.store.patch, self.store.delete, self.store.get):
            with pytest.raises(filestore.RecordNotFoundError):
                self.run(method(ref))

    # -- after every step ------------------------------------------------------------------------

    @invariant()
    def files_say_what_was_committed(self) -> None:
        if not self.transactions:
            self.committed = deepcopy(self.oracle)
        expected: dict[str, Any] = {}
        for uid, record in self.committed.records.items():
            path = f"{record.model}/{uid}"
            expected[f"{path}.json"] = {"model_name": record.model, **record.statics}
            if record.links:
                expected[f"{path}.rels.json"] = {
                    name: [f"{self.committed.records[to].model}/{to}" for to in targets]
                    for name, targets in record.links.items()
                }
            for name, points in record.series.items():
                expected[f"{path}.{name}.jsonl"] = [
                    {"timestamp": timestamp, "value": value} for timestamp, value in points
                ]
        assert self.files() == expected

    def files(self) -> dict[str, Any]:
        """What the record files hold; fails if one of them is not canonical."""
        found = {}
        for path in (self.root / "data").glob("*/*"):
            if path.parent.name != ".filestore":
                text = path.read_text(encoding="utf-8")
                content = read_lines(text) if path.suffix == ".jsonl" else json.loads(text)
                assert text == canonical(content), f"{path} is not canonical"
                found[path.relative_to(self.root / "data").as_posix()] = content
        return found

    def stamps(self) -> dict[Path, tuple[int, int]]:
        paths = (path for path in self.root.rglob("*.json*") if path.parent.name != ".filestore")
        return {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in paths}

    @invariant()
    def reads_say_what_was_written(self) -> None:
        self.run(self.compare(self.oracle))

    @precondition(lambda self: self.transactions)
    @invariant()
    def others_see_what_was_committed(self) -> None:
        self.runner.run(self.compare(self.committed), context=contextvars.Context())

    async def compare(self, expected: Oracle) -> None:
        by_query = self.step % 2 == 0  # by turns, because both take their time
        found = []
        for model in ROOTS:
            refs = await self.store.query(model, include_states=by_query)
            assert [ref.uid for ref in refs] == expected.uids(model)
            if not by_query:
                refs = await self.store.bulk_get(refs)
            assert all(
                ref.state_model_name == ref.state.model_name == type(ref.state).__name__
                for ref in refs
            )
            found += refs
        assert {ref.uid: content(ref.state) for ref in found} == {
            uid: {
                "model": record.model,
                "statics": record.statics,
                "series": record.series,
                "links": record.links,
                "backrefs": expected.backrefs(uid),
            }
            for uid, record in expected.records.items()
        }


def some_node(random: Random, model: str) -> Node:
    node = Node(model)
    for name in oracle.STATICS[model]:
        # A toy is given seldom, because only a kitten can hold one.
        if f"{model}.{name}" in REQUIRED or random.random() < (0.2 if name == "toy" else 0.5):
            node.statics[name] = random.choice(VALUES[name])
    for name in oracle.SERIES.get(model, []):
        if random.random() < 0.5:
            node.series[name] = random.choices(POINTS, k=random.randint(0, 3))
    return node


def canonical(content: Any) -> str:
    """The text that a file must have: sorted keys, two spaces, a newline at the end."""
    if isinstance(content, dict):
        return json.dumps(content, sort_keys=True, indent=2, ensure_ascii=False) + "\n"
    lines = (json.dumps(point, sort_keys=True, separators=(",", ":")) for point in content)
    return "".join(f"{line}\n" for line in lines) or "\n"


def read_lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines() if line]


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    derandomize=True,
    deadline=None,
    max_examples=40,
    stateful_step_count=25,
    suppress_health_check=list(HealthCheck),
)
