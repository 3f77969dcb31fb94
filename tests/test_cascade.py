"""Who dies with whom: deletion, orphans, and the links to what is gone."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from constelite.models import Ref, ref

from filestore import CorruptFileError, FileStore, ModelMismatchError, RecordNotFoundError
from filestore.disk import changes
from filestore.disk.files import Files
from filestore.disk.index import Index
from filestore.transaction import Transaction
from tests.models import Book, Cat, Den, Food, Human, Kitten, Page
from tests.stock import everything, on_disk, over, state_of, uids, weights

if TYPE_CHECKING:
    from collections.abc import Mapping

    from filestore.disk.layout import Key


async def own(store: FileStore, owners: Mapping[str, str]) -> dict[str, Ref]:
    """Cats named by letters, by whom they own: ``{"a": "bc"}`` is a cat a with kittens b and c."""
    names = dict.fromkeys("".join((*owners, *owners.values())))
    made = {name: await store.create(Cat(name=name), uid=name) for name in names}
    for owner, members in owners.items():
        await store.put(over(store, made[owner], Cat(kittens=[made[name] for name in members])))
    return made


async def alive(store: FileStore) -> str:
    """The cats that are left, in order."""
    return "".join(uids(await store.query("Cat", include_states=False)))


async def kittens(store: FileStore, cat: Ref) -> str:
    return "".join(uids((await state_of(store, cat)).kittens or []))


# -- the table: what goes with the owner -----------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "left"), [("resident", "tom"), ("visitors", "tom"), ("litter", None)]
)
async def test_only_members_of_a_composition_die_with_their_owner(
    store: FileStore, field: str, left: str | None
) -> None:
    tom = await store.create(Cat(name="Tom", weight=weights((0, 4)), likes=[]), uid="tom")
    den = await store.put(ref(Den(**{field: [tom]})))

    await store.delete(den)

    assert await everything(store) == ([f"Cat/{left}"] if left else [])
    # Not a file of what died is left.
    assert len(on_disk(store.root)) == (3 if left else 0)


async def test_links_to_the_deleted_record_go_with_it(store: FileStore) -> None:
    tom, tim = [await store.create(Cat(), uid=uid) for uid in ("tom", "tim")]
    links = {"resident": [tom], "visitors": [tim, tom], "litter": [tom, tim]}
    den = await store.put(ref(Den(name="cave", **links)))
    other = await store.put(ref(Den(visitors=[tim])))
    before = on_disk(store.root)

    await store.delete(tom)

    state = await state_of(store, den)
    assert (state.name, state.resident) == ("cave", [])
    assert uids(state.visitors) == uids(state.litter) == ["tim"]
    untouched = f"Den/{other.uid}.rels.json"
    assert on_disk(store.root)[untouched] == before[untouched]


async def test_a_backref_ends_with_the_record_that_links(store: FileStore) -> None:
    lisa = await store.put(ref(Human(name="Lisa")))
    tom, tim = [await store.put(ref(Cat(carer=[lisa]))) for _ in range(2)]
    await store.delete(tom)
    assert uids((await state_of(store, lisa)).cats) == [tim.uid]
    # Deleting the record that has the backref takes the links that it shows.
    await store.delete(lisa)
    assert (await state_of(store, tim)).carer == []


# -- many levels, shared members, rings ------------------------------------------------------------


@pytest.mark.parametrize(
    ("owners", "deleted", "left"),
    [
        ({"a": "bc", "b": "d", "d": "e"}, "a", ""),
        ({"a": "bc", "b": "d", "d": "e"}, "b", "ac"),
        # A shared member dies with its last owner, and keeps its own members until then.
        ({"a": "c", "b": "c", "c": "d"}, "a", "bcd"),
        ({"a": "c", "b": "c", "c": "d"}, "ab", ""),
        # Both ways to a member lead through the deleted record.
        ({"a": "bc", "b": "d", "c": "d"}, "a", ""),
        # An owner deep below counts as an owner.
        ({"a": "b", "b": "c", "x": "c"}, "a", "cx"),
        # Rings: to oneself, of two, and with something hanging on them.
        ({"a": "a"}, "a", ""),
        ({"a": "b", "b": "a"}, "a", ""),
        ({"a": "b", "b": "c", "c": "bd"}, "a", ""),
        # A ring lives as long as anything outside owns one of it.
        ({"a": "b", "b": "c", "c": "b", "x": "c"}, "a", "bcx"),
        ({"a": "b", "b": "c", "c": "b", "x": "c"}, "ax", ""),
        # What was deleted on purpose is gone, whoever owned it, and saves nothing any more.
        ({"x": "a", "a": "b"}, "a", "x"),
        ({"a": "bc", "b": "a", "x": "b"}, "a", "bx"),
    ],
)
async def test_delete(store: FileStore, owners: dict[str, str], deleted: str, left: str) -> None:
    made = await own(store, owners)
    for name in deleted:
        await store.delete(made[name])
    assert await alive(store) == left
    for name in left:
        assert set(await kittens(store, made[name])) == set(owners.get(name, "")) & set(left)


@pytest.mark.parametrize(
    ("owners", "kept", "left"),
    [
        # Cat a is put over with the kittens in `kept`; these must be alive afterwards.
        ({"a": "bc"}, "c", "ac"),
        ({"a": "bc"}, "", "a"),
        ({"a": "bc"}, "cb", "abc"),
        # An orphan takes its own members along,
        ({"a": "bc", "b": "d", "d": "e"}, "c", "ac"),
        # unless they have another owner, which may be a member that was kept.
        ({"a": "bc", "b": "d", "c": "d"}, "c", "acd"),
        ({"a": "b", "b": "c", "x": "c"}, "", "acx"),
        ({"a": "b", "x": "b", "b": "c"}, "", "abcx"),
        # A member that changes places with its owner stays.
        ({"a": "b", "b": "c"}, "c", "ac"),
        # The owner is in the ring that is let go: it was written, so it lives.
        ({"a": "b", "b": "ac"}, "", "a"),
        ({"a": "b", "b": "c", "c": "b"}, "", "a"),
        ({"a": "b", "b": "c", "c": "b", "x": "c"}, "", "abcx"),
    ],
)
async def test_put_over_an_owner(
    store: FileStore, owners: dict[str, str], kept: str, left: str
) -> None:
    made = await own(store, owners)
    await store.put(over(store, made["a"], Cat(kittens=[made[name] for name in kept])))
    assert await alive(store) == left
    assert await kittens(store, made["a"]) == kept


async def test_patch_leaves_no_orphans(store: FileStore) -> None:
    made = await own(store, {"a": "b", "x": "c"})
    await store.patch(over(store, made["a"], Cat(kittens=[made["c"]])))
    assert await kittens(store, made["a"]) == "bc"
    # An association that PATCH replaces owns nothing.
    den = await store.put(ref(Den(resident=[made["b"]])))
    await store.patch(over(store, den, Den(resident=[])))
    assert await alive(store) == "abcx"


async def test_a_member_may_move_within_one_put(store: FileStore) -> None:
    """From one owner to another, and to another field of the same owner."""
    made = await own(store, {"a": "b", "b": "c"})
    shelf = Den(litter=[over(store, made["a"], Cat(kittens=[])), made["b"]])
    await store.put(ref(shelf))
    assert await alive(store) == "abc"
    assert await kittens(store, made["b"]) == "c"


async def test_an_orphan_that_the_same_put_writes_lives(store: FileStore) -> None:
    made = await own(store, {"a": "b", "b": "c"})
    friend = over(store, made["b"], Cat(age=1))
    mother = over(store, made["a"], Cat(kittens=[]))
    await store.put(ref(Den(visitors=[mother, friend])))
    assert await alive(store) == "abc"
    assert await kittens(store, made["b"]) == "c"


async def test_orphans_leave_with_their_links(store: FileStore) -> None:
    made = await own(store, {"a": "b", "b": "c"})
    den = await store.put(ref(Den(visitors=[made["c"], made["a"], made["b"]])))
    await store.put(over(store, made["a"], Cat(kittens=[])))
    assert uids((await state_of(store, den)).visitors) == ["a"]


async def test_a_long_chain_needs_no_recursion(store: FileStore) -> None:
    top = Cat()
    for _ in range(4_999):
        top, kitten = Cat(), top
        top.kittens = [ref(kitten)]
    async with store.transaction():
        put = await store.put(ref(top))
        assert len(await store.query("Cat", include_states=False)) == 5_000
        await store.delete(put)
        assert await everything(store) == []


async def test_every_source_is_written_once_however_many_of_its_links_go(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    den = await store.put(ref(Den(litter=[ref(Cat()) for _ in range(20)])))
    hub = await store.put(ref(Den(visitors=(await state_of(store, den)).litter)))
    written = []
    put_links = Transaction.put_links

    def counted(self: Transaction, key: Key, links: Any) -> None:
        written.append(key.uid)
        put_links(self, key, links)

    monkeypatch.setattr(Transaction, "put_links", counted)
    await store.delete(den)
    assert written == [hub.uid]
    assert (await state_of(store, hub)).visitors == []


# -- the files of what goes ------------------------------------------------------------------------


async def test_a_deletion_lists_no_directory_of_records(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "_SMALL", 0)
    tom, tim = [await store.create(Cat(weight=weights((0, 4))), uid) for uid in ("tom", "tim")]
    book = await store.put(ref(Book(title="Emma", pages=[ref(Page(number=1))])))
    await store.delete(tim)  # the first one in a process compares all directories
    listed = []
    for name in ("listdir", "scandir"):
        original = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda path, do=original: (listed.append(os.path.basename(path)), do(path))[1]
        )
    await store.delete(tom)
    await store.delete(book)
    assert set(listed) <= {store.root.name}
    assert on_disk(store.root) == {}


async def test_what_the_index_is_asked_does_not_grow_with_what_goes(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "_SMALL", 0)
    await store.delete(await store.put(ref(Book(title="Emma"))))
    asked: list[str] = []
    select, fingerprint = Index._select, Files.fingerprint

    def counted(self: Index, query: str, *values: Any) -> Any:
        asked.append("the index")
        return select(self, query, *values)

    monkeypatch.setattr(Index, "_select", counted)
    monkeypatch.setattr(
        Files, "fingerprint", lambda self, name: asked.append("a source") or fingerprint(self, name)
    )
    counts = []
    for number in (1, 3, 30):
        pages = [ref(Page(number=n)) for n in range(number)]
        book = await store.put(ref(Book(title="Emma", pages=pages)))
        asked.clear()
        await store.delete(book)
        counts.append((asked.count("a source"), asked.count("the index")))
    assert counts == [(1, 5)] * 3
    assert on_disk(store.root) == {}


async def test_links_staged_in_the_same_unit_go_with_their_record(store: FileStore) -> None:
    tom = await store.create(Cat(weight=weights((0, 4))), "tom")
    async with store.transaction():
        await store.patch(over(store, tom, Cat(likes=[ref(Food())])))
        new = await store.put(ref(Cat(weight=weights((0, 4)), likes=[])))
        await store.delete(tom)
        await store.delete(new)
    assert not any(name.startswith("Cat/") for name in on_disk(store.root))


@pytest.mark.parametrize("where", ["disk", "unit"])
async def test_series_that_the_class_does_not_declare_go_with_their_record(
    store: FileStore, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(changes, "_SMALL", 0)
    tom = await store.create(Cat(weight=weights((0, 4))), "tom")
    await store.create(Cat(weight=weights((0, 4))), "tom-2")
    await store.delete(await store.put(ref(Cat())))
    left = {name for name in on_disk(store.root) if name.startswith("Cat/tom-2.")}
    for name in ("tom.a%20b.jsonl", "tom.%zz.jsonl", "tom.note.json"):
        (store.root / "Cat" / name).write_text("\n")
    if where == "disk":
        await store.delete(tom)
    else:
        async with store.transaction():
            series = {"weight": weights((0, 5))}
            await store.extend_dynamic_props("tom", Cat, series)
            await store.delete(tom)
    # What is no file of a record stays.
    assert on_disk(store.root).keys() == {*left, "Cat/tom.%zz.jsonl", "Cat/tom.note.json"}
    assert {problem.code for problem in await store.check()} == {"FS303"}


# -- units of work ---------------------------------------------------------------------------------


async def test_deletion_sees_what_the_transaction_did(store: FileStore) -> None:
    made = await own(store, {"a": "b"})
    async with store.transaction():
        rescuer = await store.put(ref(Den(litter=[made["b"]])))
        await store.delete(made["a"])
        assert await alive(store) == "b"
        new = await store.put(ref(Cat(kittens=[ref(Kitten())])))
        await store.delete(new)
        await store.put(over(store, rescuer, Den(litter=[])))
        assert await alive(store) == ""
        assert (await state_of(store, rescuer)).litter == []
    assert await everything(store) == [f"Den/{rescuer.uid}"]


async def test_deletion_is_taken_back_with_its_transaction(store: FileStore) -> None:
    made = await own(store, {"a": "bc", "b": "d"})
    await store.put(ref(Den(visitors=[made["d"], made["a"]])))
    before = on_disk(store.root)

    async def delete_and_fail() -> None:
        async with store.transaction():
            await store.delete(made["a"])
            assert await alive(store) == ""
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await delete_and_fail()
    assert on_disk(store.root) == before


async def test_what_is_deleted_is_gone(store: FileStore) -> None:
    made = await own(store, {"a": "b"})
    await store.delete(made["a"])
    for call in (store.get, store.delete, store.put):
        with pytest.raises(RecordNotFoundError, match="there is no record Cat/a"):
            await call(made["a"])
    # Its uid may be used again, and nothing of the old record comes back.
    again = await store.create(Cat(), uid="a")
    assert (await state_of(store, again)).kittens is None


# -- the primitive ---------------------------------------------------------------------------------


async def test_delete_model_deletes_one_record_and_the_links_to_it(store: FileStore) -> None:
    made = await own(store, {"a": "b", "b": "c"})
    await store.delete_model(Cat, "b")
    assert await alive(store) == "ac"
    assert await kittens(store, made["a"]) == ""


# -- what cannot be known --------------------------------------------------------------------------


async def test_members_of_an_unknown_class_are_not_deleted_blindly(store: FileStore) -> None:
    """What such a record owns is not known, so it cannot be said what dies with it."""
    den = await store.create(Den(name="cave"), uid="den")
    (store.root / "Den" / "den.rels.json").write_text('{"litter": ["Lynx/l1"]}\n')
    (store.root / "Lynx").mkdir()
    (store.root / "Lynx" / "l1.json").write_text("{}\n")
    before = on_disk(store.root)
    with pytest.raises(ModelMismatchError, match=r"Lynx/l1\.json is a 'Lynx'.*import the module"):
        await store.delete(den)
    with pytest.raises(ModelMismatchError, match="import the module"):
        await store.put(over(store, den, Den(litter=[])))
    assert on_disk(store.root) == before


async def test_an_owner_of_an_unknown_class_may_own(store: FileStore) -> None:
    """A link from it might be a composition, so it keeps members alive."""
    made = await own(store, {"a": "bc"})
    (store.root / "Lynx").mkdir()
    (store.root / "Lynx" / "l1.json").write_text("{}\n")
    links = store.root / "Lynx" / "l1.rels.json"
    links.write_text('{"prey": ["Cat/a", "Cat/b"]}\n')
    await store.delete(made["a"])
    assert await alive(store) == "b"
    assert links.read_text() == '{\n  "prey": [\n    "Cat/b"\n  ]\n}\n'


async def test_links_to_nowhere_are_no_members(store: FileStore) -> None:
    made = await own(store, {"a": "b"})
    links = '{"kittens": ["Cat/ghost", "Lynx/ghost", "Cat/b"]}\n'  # there is no class Lynx
    (store.root / "Cat" / "a.rels.json").write_text(links)
    await store.delete(made["a"])
    assert on_disk(store.root) == {}


async def test_a_broken_file_that_names_the_record_is_not_overlooked(store: FileStore) -> None:
    made = await own(store, {"a": "b", "x": "c"})
    den = await store.create(Den(visitors=[made["b"]]), uid="den")
    broken = store.root / "Den" / f"{den.uid}.rels.json"
    broken.write_text('{"visitors": ["Cat/b"], "litter"}')
    before = on_disk(store.root)
    with pytest.raises(CorruptFileError, match=r"den\.rels\.json"):
        await store.delete(made["a"])
    assert on_disk(store.root) == before
    # It is in nobody else's way.
    await store.delete(made["x"])
    assert await alive(store) == "ab"
    broken.write_text('{"visitors": ["Cat/b"]}')
    await store.delete(made["a"])
    assert (await state_of(store, den)).visitors == []


async def test_a_subclass_owns_what_its_base_class_owns(store: FileStore) -> None:
    kitten = await store.put(ref(Kitten(kittens=[ref(Kitten(toy="ball"))])))
    named_by_base = Ref(record=kitten.record, state_model_name="Creature")
    await store.delete(named_by_base)
    assert await everything(store) == []


async def test_deletion_leaves_everything_else_alone(store: FileStore) -> None:
    lisa = await store.put(ref(Human(name="Lisa")))
    book = await store.put(ref(Book(title="Emma", pages=[ref(Page(number=1))])))
    tom = await store.put(ref(Cat(carer=[lisa], likes=[ref(Food())])))
    before = on_disk(store.root)
    gone = await store.put(ref(Cat(carer=[lisa], kittens=[ref(Cat(carer=[lisa]))])))
    await store.delete(gone)
    assert on_disk(store.root) == before
    assert uids((await state_of(store, lisa)).cats) == [tom.uid]
    assert len((await state_of(store, book)).pages) == 1
