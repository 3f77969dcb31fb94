"""`ls` and `show`: what is in a data directory."""

from __future__ import annotations

import os
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from filestore.cli.conditions import Condition, order
from filestore.cli.directory import (
    complete_model,
    complete_record,
    directory_argument,
    json_option,
    locate,
    model_named,
    opened,
)
from filestore.cli.terminal import (
    Failure,
    Progress,
    cell,
    count,
    safe,
    say,
    say_json,
    sparkline,
    table,
    warn,
)
from filestore.disk import layout
from filestore.disk.layout import Key
from filestore.errors import CorruptFileError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from filestore.disk.files import Files
    from filestore.snapshot import Snapshot

_MODEL_NAME = "model_name"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@click.command()
@directory_argument
@click.argument("model", required=False, shell_complete=complete_model)
@click.option("--columns", metavar="A,B", help="Show these properties and relationships alone.")
@click.option(
    "--where", "conditions", multiple=True, metavar="CONDITION", help="Show what meets it."
)
@click.option("--order-by", metavar="A", help="Sort by a property; -A from high to low.")
@click.option("--limit", type=click.IntRange(min=0), help="Show so many records at most.")
@json_option
def ls(
    directory: str,
    model: str | None,
    columns: str | None,
    conditions: Sequence[str],
    order_by: str | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """List the models, or the records of MODEL.

    A condition is name=value or name__LOOKUP=value, with a LOOKUP of eq, ne, gt, gte, lt, lte, in,
    contains, startswith, endswith, isnull, regex; a value is JSON or a text. Several must all hold.

    Example: filestore ls data Cat --where age__gt=3 --order-by -age
    """
    if model is None:
        if columns or conditions or order_by or limit is not None:
            raise click.UsageError("these options need a MODEL")
        _list_models(opened(directory).files, as_json)
        return
    tests = [Condition.parse(text) for text in conditions]
    view = opened(directory).view()
    unreadable: list[CorruptFileError] = []
    records = [
        record
        for record in _records(view, model_named(model), unreadable)
        if all(test.holds(record.values) for test in tests)
    ]
    if order_by:
        name = order_by.removeprefix("-")
        for_all = order(None)
        known = [r for r in records if order(r.values.get(name)) != for_all]
        known.sort(key=lambda r: order(r.values.get(name)), reverse=order_by.startswith("-"))
        records = known + [r for r in records if order(r.values.get(name)) == for_all]
    records = records[:limit]
    chosen = columns.split(",") if columns else None
    if as_json:
        say_json([record.as_json(chosen) for record in records])
    else:
        _list_records(records, chosen)
    for error in unreadable:
        warn(f"filestore: {error}")
    if unreadable:
        raise click.exceptions.Exit(1)


class _Record:
    """A record as a row: its uid, properties and links."""

    def __init__(self, view: Snapshot, key: Key) -> None:
        self.key = key
        self.properties = dict(view.document(key) or {})
        self.properties.pop(_MODEL_NAME, None)
        self.links = {name: [to.link for to in keys] for name, keys in view.links(key).items()}
        self.values = {**self.links, **self.properties, "uid": key.uid}

    def as_json(self, columns: Sequence[str] | None) -> dict[str, Any]:
        def chosen(members: dict[str, Any]) -> dict[str, Any]:
            return {n: v for n, v in members.items() if columns is None or n in columns}

        return {
            "model": self.key.model,
            "uid": self.key.uid,
            "properties": chosen(self.properties),
            "links": chosen(self.links),
        }


def _records(view: Snapshot, model: str, unreadable: list[CorruptFileError]) -> Iterator[_Record]:
    """The records that can be read; why the others cannot is noted."""
    uids = view.uids(model)
    if not uids and model not in view.models():
        raise Failure(f"there is no model {layout.shown(model)}: ls without a model lists them all")
    with Progress(f"Reading {safe(model)}") as progress:
        for number, uid in enumerate(uids, 1):
            key = Key(model, uid)
            try:
                record = view.consistent(key, lambda key=key: _Record(view, key))  # type: ignore[misc]
            except CorruptFileError as error:
                unreadable.append(error)
                continue
            progress(number, len(uids))
            yield record


def _list_records(records: Sequence[_Record], columns: Sequence[str] | None) -> None:
    names = columns or sorted({name for record in records for name in record.properties})
    shown = ["uid", *(name for name in names if name != "uid")]
    rows = [[cell(record.values.get(name)) for name in shown] for record in records]
    numbers = [
        name
        for name in shown
        if all(type(r.values.get(name)) in (int, float, type(None)) for r in records)
    ]
    table(shown, rows, right=[safe(name) for name in numbers])


def _list_models(files: Files, as_json: bool) -> None:
    found = []
    for model in files.models():
        directory = layout.directory_of(model)
        records, size, changed = 0, 0, 0.0
        for name in files.names(model):
            if layout.key_of(f"{directory}/{name}") is not None:
                status = os.lstat(files.path(f"{directory}/{name}"))
                records += layout.uid_of(name) is not None
                size += status.st_size
                changed = max(changed, status.st_mtime)
        if size or records:
            found.append((model, records, size, changed))
    if as_json:
        say_json(
            [
                {"model": model, "records": records, "bytes": size, "changed": when(changed)}
                for model, records, size, changed in found
            ]
        )
        return
    rows = [
        [safe(model), f"{records:,}", f"{size:,}", when(changed)]
        for model, records, size, changed in found
    ]
    table(["model", "records", "bytes", "changed"], rows, right=["records", "bytes"])


@click.command()
@directory_argument
@click.argument("uids", metavar="UID...", nargs=-1, required=True, shell_complete=complete_record)
@json_option
def show(directory: str, uids: Sequence[str], as_json: bool) -> None:
    """Show records: properties, links out and in, time series.

    UID is a uid, or Model/uid.

    Example: filestore show data Cat/tom
    """
    view = opened(directory).view()
    records = []
    for text in uids:
        key = locate(view, text)
        with Progress("Reading links"):
            incoming = view.incoming(key)
        record = view.consistent(key, lambda key=key: _whole(view, key))  # type: ignore[misc]
        sources = defaultdict(list)
        for source, name in incoming:
            sources[name].append(source.link)
        record["links_in"] = dict(sources)
        records.append(record)
    if as_json:
        say_json(records)
        return
    for number, record in enumerate(records):
        if number:
            say()
        _show(view, record)


def _whole(view: Snapshot, key: Key) -> dict[str, Any]:
    """A record with all that belongs to it, as JSON."""
    record = _Record(view, key).as_json(None)
    names = sorted(view.files.series(key.model).get(key.uid, []))
    record["series"] = {name: view.points(key, name) for name in names}
    return record


def _show(view: Snapshot, record: dict[str, Any]) -> None:
    say(Key(record["model"], record["uid"]).link)
    width = max(map(len, map(safe, (n for kind in _KINDS for n in record[kind]))), default=0)
    for name, value in sorted(record["properties"].items()):
        say(f"  {safe(name).ljust(width)}  {cell(value, whole=True)}")
    for kind, arrow in (("links", "→"), ("links_in", "←")):
        for name, targets in sorted(record[kind].items()):
            for target in targets or ["nothing"]:
                say(f"  {safe(name).ljust(width)}  {arrow} {target}{_label(view, target)}")
    for name, points in record["series"].items():
        say(f"  {safe(name).ljust(width)}  {_summary(points)}")


_KINDS = ("properties", "links", "links_in", "series")


def _label(view: Snapshot, link: str) -> str:
    """What a linked record is called, if it says so."""
    try:
        document = view.document(Key.from_link(link)) if "/" in link else {}
    except CorruptFileError:
        return "  (cannot be read)"
    if document is None:
        return "  (missing)"
    name = document.get("name")
    return f"  {cell(name)}" if type(name) is str else ""


def _summary(points: Sequence[dict[str, Any]]) -> str:
    if not points:
        return "no points"
    times = sorted(float(point["timestamp"]) for point in points)
    values = [point["value"] for point in points]
    span = f"{_moment(times[0])} to {_moment(times[-1])}"
    text = ", ".join([count(len(points), "point"), span, f"last {cell(values[-1])}"])
    return f"{text}  {sparkline(values)}".rstrip()


def _moment(timestamp: float) -> str:
    try:
        return when(timestamp)
    except (OverflowError, ValueError):
        return str(timestamp)


def when(timestamp: float) -> str:
    """A time in seconds since 1970 as a date and time in UTC."""
    moment = _EPOCH + timedelta(seconds=timestamp)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
