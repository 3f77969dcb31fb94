"""Who dies with whom: deletion of records, of what only they own, and of the links to both.

A composition owns its members: they are deleted with their owner, recursively, each once, unless
another living record owns them too. Members that own each other in a ring die together once nothing
outside the ring owns any of them.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from filestore.classes import class_named
from filestore.schema import ModelSchema
from filestore.states import known_class

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from filestore.disk.layout import Key
    from filestore.transaction import Transaction


def delete_record(transaction: Transaction, key: Key) -> list[Key]:
    """Stage the removal of a record and of all that only it owns, and of every link to those.

    Returns:
        The records removed, ``key`` first.

    Raises:
        ModelMismatchError: The class of one of them is not defined here, so that what it owns is
            not known.
        CorruptFileError: A relationship index that would have to change cannot be read.
    """
    doomed = _dying(transaction, _possessions(transaction, [key]), condemned={key})
    remove(transaction, doomed)
    return doomed


def delete_unowned(
    transaction: Transaction, orphans: Iterable[Key], spared: Iterable[Key]
) -> list[Key]:
    """Stage the removal of former members that nothing owns any more, with all that they own.

    Args:
        transaction: The unit of work.
        orphans: The former members.
        spared: Records that live whatever happens.

    Returns:
        The records removed.

    Raises:
        FileStoreError: As for :func:`delete_record`.
    """
    doomed = _dying(transaction, _possessions(transaction, orphans), spared=set(spared))
    remove(transaction, doomed)
    return doomed


def remove(transaction: Transaction, doomed: Collection[Key]) -> None:
    """Stage the removal of exactly these records, and of every link to them.

    Raises:
        CorruptFileError: A relationship index that would have to change cannot be read.
    """
    gone = set(doomed)
    for source in transaction.referrers(doomed):
        if source not in gone:
            links = transaction.links(source)
            left = {name: [to for to in links[name] if to not in gone] for name in links}
            transaction.put_links(source, left)
    transaction.delete(doomed)


def _possessions(transaction: Transaction, roots: Iterable[Key]) -> dict[Key, list[Key]]:
    """What the roots own, directly or not: for each of these records, roots first, its members."""
    found: dict[Key, list[Key]] = {}
    owning: dict[str, list[str]] = {}  # the compositions of a model
    pending = deque(roots)
    while pending:
        key = pending.popleft()
        if key not in found and transaction.exists(key):
            if key.model not in owning:
                relations = ModelSchema.of(known_class(transaction, key)).relations.values()
                owning[key.model] = [relation.name for relation in relations if relation.owns]
            links = transaction.links(key) if owning[key.model] else {}
            found[key] = [to for name in links if name in owning[key.model] for to in links[name]]
            pending.extend(found[key])
    return found


def _dying(
    transaction: Transaction,
    members: dict[Key, list[Key]],
    *,
    condemned: Iterable[Key] = (),
    spared: Iterable[Key] = (),
) -> list[Key]:
    """Those of the records in ``members`` that nothing keeps alive.

    What is spared lives, and so does what a living record owns; what is condemned does not.
    """
    owned = {
        key: any(source not in members and _may_own(source, name) for source, name in hits)
        for key, hits in transaction.links_to(members).items()
    }
    pending = [key for key in members if key in spared or owned[key]]
    alive: set[Key] = set()
    while pending:
        key = pending.pop()
        if key not in alive and key not in condemned:
            alive.add(key)
            pending.extend(members.get(key, ()))  # a link to nowhere has no members
    return [key for key in members if key not in alive]


def _may_own(source: Key, name: str) -> bool:
    """Whether a link is a composition; one whose class is unknown here might be."""
    cls = class_named(source.model)
    if cls is None:
        return True
    relation = ModelSchema.of(cls).relations.get(name)
    return relation is not None and relation.owns
