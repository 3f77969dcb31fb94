"""The bytes of a record's files, and what they say.

Canonical bytes: keys sorted, two spaces, a newline at the end, UTF-8, as orjson writes them. Equal
content gives equal bytes. Whatever a person wrote is read too, as long as it is exact JSON: orjson
alone would take the last of two equal keys and turn a huge integer into a float, so bytes that are
not canonical are read a second time by the strict parser of the standard library.
"""

from __future__ import annotations

import codecs
import json
import re
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import orjson

from filestore.disk.layout import Key, shown
from filestore.errors import CorruptFileError, MergeConflictError, UnsupportedValueError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from os import PathLike

_DOCUMENT = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
_LINE = orjson.OPT_SORT_KEYS
_EMPTY_SERIES = b"\n"
_BLANK = b" \t\r"
_POINT = {"timestamp", "value"}
_NOT_FINITE = ("NaN", "Infinity", "-Infinity")
# JSON never has these at the start of a line, because a text cannot hold a raw newline.
_CONFLICT = re.compile(rb"^(?:<<<<<<<|>>>>>>>)(?: .*)?\r?$", re.MULTILINE)
_TOKEN = re.compile(rb'("[^"\\]*+(?:\\.[^"\\]*+)*+")(\s*+:)?|[{}]')

Document = dict[str, Any]
Links = dict[str, list[Key]]
Point = dict[str, Any]


def encode_document(document: Mapping[str, Any]) -> bytes:
    """The canonical bytes of a JSON object. Floats must be finite.

    Raises:
        UnsupportedValueError: It could not be read back: it is nested deeper than 254 levels, say.
    """
    return _dumps(document, _DOCUMENT)


def decode_document(data: bytes, path: str | PathLike[str]) -> Document:
    """Read a JSON object.

    Raises:
        MergeConflictError: The file holds git's conflict markers.
        CorruptFileError: It is no JSON object, or not exactly one.
    """
    document = _read(data, path, _DOCUMENT)
    if type(document) is not dict:
        _corrupt(path, data, f"holds {_kind(document)}: it should hold an object {{…}}", line=1)
    return document


def encode_links(links: Mapping[str, Iterable[Key]]) -> bytes:
    """The canonical bytes of a relationship index."""
    return encode_document({name: [key.link for key in keys] for name, keys in links.items()})


def decode_links(data: bytes, path: str | PathLike[str]) -> Links:
    """Read a relationship index: for each relationship its targets, in order, each once.

    Raises:
        MergeConflictError: The file holds git's conflict markers.
        CorruptFileError: It is no object of lists of ``Model/uid`` lines.
    """
    links: Links = {}
    for name, targets in decode_document(data, path).items():
        if type(targets) is not list:
            _corrupt(
                path,
                data,
                f"has {_kind(targets)} for {shown(name)}: it should be a list of links",
                line=line_of(data, name),
            )
        keys: dict[Key, None] = {}
        for target in targets:
            if type(target) is not str:
                _corrupt(
                    path,
                    data,
                    f"has {_kind(target)} among the links of {shown(name)}: "
                    'a link is a text, "Model/uid"',
                    line=line_of(data, name),
                )
            try:
                keys[Key.from_link(target)] = None
            except ValueError as error:
                _corrupt(
                    path,
                    data,
                    f"has a wrong link in {shown(name)}: {error}: correct or delete it",
                    line=line_of(data, target, key=False),
                )
        links[name] = list(keys)
    return links


def encode_points(points: Iterable[Point]) -> bytes:
    """The canonical bytes of a time series, a point a line; one empty line if there is no point.

    An empty *file* is what a power loss leaves behind, so it never stands for an empty series.

    Raises:
        UnsupportedValueError: A value could not be read back.
    """
    return b"".join(_dumps(point, _LINE) + b"\n" for point in points) or _EMPTY_SERIES


def decode_points(data: bytes, path: str | PathLike[str]) -> list[Point]:
    """Read a time series: objects with ``timestamp`` (seconds) and ``value``, in the file's order.

    Raises:
        MergeConflictError: The file holds git's conflict markers.
        CorruptFileError: A line is no such object, or the file is empty.
    """
    if data == _EMPTY_SERIES:
        return []
    lines = data.removesuffix(b"\n").split(b"\n")
    try:
        points = [orjson.loads(line) for line in lines]
        # One comparison for all lines is much cheaper than one for each.
        canonical = orjson.dumps(points, option=_LINE) == b"[%b]" % b",".join(lines)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        canonical = False
    numbers: Iterable[int] = range(1, len(lines) + 1)
    if not canonical:
        # A person may have left blank lines, but then the file is not empty.
        numbers = [n for n in numbers if lines[n - 1].strip(_BLANK) or not data]
        points = [_read(lines[n - 1], path, _LINE, whole=data, first_line=n) for n in numbers]
    for number, point in zip(numbers, points, strict=True):
        if type(point) is not dict or point.keys() != _POINT:
            _corrupt(
                path,
                data,
                "is no point of a time series: correct it to an object with 'timestamp' "
                "and 'value' alone",
                line=number,
            )
        timestamp = point["timestamp"]
        if type(timestamp) not in (float, int) and timestamp not in _NOT_FINITE:
            _corrupt(
                path,
                data,
                f"has {_kind(timestamp)} for 'timestamp': it should be a number of seconds",
                line=number,
            )
    return points


def line_of(data: bytes, text: str, *, key: bool = True) -> int | None:
    """Find a text in the outermost object of a JSON file.

    Args:
        data: The file's content, which is valid JSON.
        text: The text.
        key: Look among the object's keys; otherwise among its values and their items.

    Returns:
        The line, counted from 1, where it first stands; None if it does not.
    """
    for string in _strings(data):
        if string.level == 1 and string.is_key is key and string.text == text:
            return string.line
    return None


def encode_line(value: Mapping[str, Any]) -> bytes:
    """One JSON object as one line, with its newline.

    Raises:
        UnsupportedValueError: It could not be read back.
    """
    return _dumps(value, _LINE) + b"\n"


def decode_line(data: bytes, path: Path, number: int) -> Document:
    """Read a JSON object that is line ``number`` of a file.

    Raises:
        CorruptFileError: It is no JSON object, or not exactly one.
    """
    value = _read(data, path, _LINE, first_line=number)
    if type(value) is not dict:
        _corrupt(
            path, data, f"holds {_kind(value)}: a line should hold an object {{…}}", line=number
        )
    return value


def texts_of(data: bytes) -> Iterator[tuple[str, str, int]]:
    """The texts that an object holds, themselves or in lists: the key, the text, its line.

    Args:
        data: The file's content, which is valid JSON.
    """
    key = ""
    for string in _strings(data):
        if string.level == 1 and string.is_key:
            key = string.text
        elif string.level == 1:
            yield key, string.text, string.line


def _dumps(value: Any, option: int) -> bytes:
    try:
        return orjson.dumps(value, option=option)
    except orjson.JSONEncodeError:
        pass
    # Read from a file that a person wrote, an integer may have more bits than orjson writes.
    try:
        return orjson.dumps(_with_huge_integers(value), option=option)
    except (orjson.JSONEncodeError, RecursionError, OverflowError) as error:
        raise UnsupportedValueError(
            f"this cannot be written as JSON ({error}): texts must be valid Unicode, numbers below "
            "1.8e308, and values nested at most 254 levels deep"
        ) from error


def _with_huge_integers(value: Any) -> Any:
    """``value`` with every integer that orjson refuses spelled out."""
    if isinstance(value, dict):
        return {key: _with_huge_integers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_huge_integers(item) for item in value]
    if type(value) is int:
        float(value)  # an integer beyond every float is refused when it is read
        return orjson.Fragment(b"%d" % value)
    return value


def _read(
    data: bytes,
    path: str | PathLike[str],
    option: int,
    *,
    whole: bytes | None = None,
    first_line: int = 1,
) -> Any:
    """Read one JSON text exactly.

    Args:
        data: The text.
        path: The file that it is in.
        option: What orjson makes canonical bytes with.
        whole: All of the file, if the text is one line of it.
        first_line: Where the text begins in the file.

    Raises:
        CorruptFileError: It is no JSON, or orjson and a strict parser would read it differently.
    """
    whole = data if whole is None else whole
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        reason, line = _why_unreadable(data, whole, error)
        _corrupt(path, whole, reason, line=first_line + line - 1)
    try:
        if orjson.dumps(value, option=option) == data:
            return value
    except orjson.JSONEncodeError:
        _corrupt(path, whole, "is nested deeper than 254 levels: flatten it", line=first_line)
    try:
        return json.loads(data, object_pairs_hook=_unique)
    except _RepeatedKeyError:
        again = _repeated_key(data)
        _corrupt(
            path,
            whole,
            f"has the key {shown(again.text)} a second time: delete one",
            line=first_line + again.line - 1,
        )


class _RepeatedKeyError(Exception):
    """An object has a key twice."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _RepeatedKeyError
    return members


class _String(NamedTuple):
    """A text in a JSON file: in which object, how deep, and where."""

    text: str
    is_key: bool
    object: int
    level: int
    line: int


def _strings(data: bytes) -> Iterator[_String]:
    """All texts of a valid JSON file, in its order."""
    numbers = count(1)
    within = [0]
    line, position = 1, 0
    for match in _TOKEN.finditer(data):
        if match[0] == b"{":
            within.append(next(numbers))
        elif match[0] == b"}":
            within.pop()
        else:
            line += data.count(b"\n", position, match.start())
            position = match.start()
            text = orjson.loads(match[1])
            yield _String(text, match[2] is not None, within[-1], len(within) - 1, line)


def _repeated_key(data: bytes) -> _String:
    """The first key that its object has already."""
    seen: set[tuple[int, str]] = set()
    for string in _strings(data):
        if string.is_key:
            if (string.object, string.text) in seen:
                return string
            seen.add((string.object, string.text))
    raise ValueError("no object has a key twice")


def _why_unreadable(data: bytes, whole: bytes, error: orjson.JSONDecodeError) -> tuple[str, int]:
    """What is wrong with bytes that orjson does not read, and in which of their lines."""
    if not whole.strip(b"\0"):
        state = "holds nothing but NUL bytes" if whole else "is empty"
        return f"{state}, as a power loss leaves files behind: restore it or delete it", 1
    if data.startswith(codecs.BOM_UTF8):
        return "starts with a byte order mark: save it as UTF-8 without one", 1
    try:
        data.decode()
    except UnicodeDecodeError as undecodable:
        line = data.count(b"\n", 0, undecodable.start) + 1
        return "is not UTF-8 text: restore it, or save it as UTF-8", line
    return f"is no valid JSON, {error.msg}: correct it", error.lineno


def _corrupt(path: str | PathLike[str], data: bytes, reason: str, *, line: int | None) -> NoReturn:
    """Say what is wrong with a file, first of all if it is a git merge that is not finished."""
    path = Path(path)
    conflict = _CONFLICT.search(data)
    if conflict is not None:
        line = data.count(b"\n", 0, conflict.start()) + 1
        raise MergeConflictError(
            f"{path}, line {line}: holds the conflict markers of a git merge: "
            "resolve the conflict in this file",
            path=path,
            line=line,
        )
    where = f"{path}, line {line}" if line is not None else f"{path}"
    raise CorruptFileError(f"{where}: {reason}", path=path, line=line)


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a boolean"}
    return "null" if value is None else names.get(type(value), "a number")
