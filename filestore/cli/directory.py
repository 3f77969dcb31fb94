"""Opening the data directory that a command names, and finding the records that it names."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import click

from filestore.cli.terminal import Failure, show_warnings
from filestore.database import Database
from filestore.disk import layout
from filestore.disk.files import Files
from filestore.disk.layout import Key
from filestore.disk.manifest import open_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from filestore.snapshot import Snapshot
    from filestore.transaction import Transaction

T = TypeVar("T")

_LOCK_TIMEOUT = 10.0

directory_argument = click.argument("directory", metavar="DIR", type=click.Path())
json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON, for programs.")


def opened(directory: str, *, write: bool = False) -> Database:
    """Open a data directory that exists; reading it makes nothing in it.

    Raises:
        StoreFormatError: It is no directory, or no store that can be opened.
        CorruptFileError: Its ``filestore.json`` cannot be read.
    """
    root = os.path.abspath(directory)
    for read_only in (True, False) if write else (True,):
        open_directory(root, uid=None, name=None, default_name="FileStore", read_only=read_only)
    read_only = not write and not os.path.isdir(os.path.join(root, layout.RUNTIME))
    return database_at(directory, read_only=read_only)


def database_at(directory: str, *, read_only: bool = False) -> Database:
    """A data directory whatever its ``filestore.json`` says."""
    show_warnings()
    return Database(os.path.abspath(directory), read_only=read_only, lock_timeout=_LOCK_TIMEOUT)


def write(directory: str, work: Callable[[Transaction], T]) -> T:
    """Do something as one unit of work: all of it or, after an error, nothing."""
    database = opened(directory, write=True)

    async def unit() -> T:
        async with database.begin() as transaction:
            # The loop would only note Ctrl-C; here it stops the work, and nothing is written.
            with _interruptible():
                return work(transaction)

    return asyncio.run(unit())


@contextmanager
def _interruptible() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def model_named(text: str) -> str:
    """The model that a name or a directory's name stands for.

    Raises:
        ModelMismatchError: No model can have this name.
    """
    model = layout.model_of(text.rstrip("/")) or text
    layout.directory_of(model)
    return model


def key_named(text: str) -> Key:
    """The record that ``Model/uid`` or the path of one of its files stands for; it may be missing.

    Raises:
        Failure: The text is no such path.
    """
    link = text.removesuffix(layout.PROPERTIES_SUFFIX)
    try:
        return Key.from_link(link)
    except ValueError:
        model, slash, uid = link.rpartition("/")
        if slash and "/" not in model:
            return Key(model_named(model), layout.check_uid(uid))
        raise Failure(
            f"{layout.shown(text)} does not name a record: give Model/uid, or a uid"
        ) from None


def complete_model(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """The models that a shell can offer."""
    names = {key.link.partition("/")[0] for key in _keys(ctx)}
    return sorted(name for name in names if name.startswith(incomplete))


def complete_record(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """The records that a shell can offer: by uid, or after a model's name and a slash."""
    names = (key.link if "/" in incomplete else key.uid for key in _keys(ctx))
    return sorted(name for name in names if name.startswith(incomplete))


def _keys(ctx: click.Context) -> Iterator[Key]:
    """The records of the directory that was given; none if it is none: a shell wants no error."""
    root = ctx.params.get("directory")
    if root is not None and os.path.isdir(root):
        files = Files(root)
        for model in files.models():
            yield from (Key(model, uid) for uid in files.uids(model))


def locate(view: Snapshot, text: str) -> Key:
    """Find a record by its uid, or by ``Model/uid``.

    Raises:
        Failure: There is none.
        FileStoreError: Several models have one; or no record can be called that.
    """
    if "/" in text:
        key: Key | None = key_named(text)
        if key is not None and not view.exists(key):
            key = None
    else:
        key = view.locate(text.removesuffix(layout.PROPERTIES_SUFFIX))
    if key is None:
        raise Failure(
            f"there is no record {layout.shown(text)} in {view.files.root}: ls shows what is there"
        )
    return key
