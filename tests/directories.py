"""Data directories as tests write and compare them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from constelite.models import Ref, StateModel, ref

if TYPE_CHECKING:
    from pathlib import Path

    from filestore import FileStore


def listing(root: Path) -> dict[str, tuple[int, int, bytes]]:
    """Everything below a directory, itself included: mode, mtime and content."""
    found = {}
    for path in (root, *root.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(root))] = (status.st_mode, status.st_mtime_ns, content)
    return found


def records(root: Path) -> dict[str, tuple[int, int, bytes]]:
    """Like `listing`, without the runtime state."""
    return {name: file for name, file in listing(root).items() if not name.startswith(".filestore")}


def write(path: Path, content: Any) -> None:
    """Write a JSON file by hand, with its directory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(content))


def by_hand(root: Path) -> None:
    """Write a small data directory as a person would, without `filestore.json`."""
    write(root / "Human" / "lisa.json", {"name": "Lisa"})
    write(root / "Cat" / "tom.json", {"name": "Tom", "age": 3})
    write(root / "Cat" / "tom.rels.json", {"carer": ["Human/lisa"]})
    (root / "Cat" / "tom.weight.jsonl").write_text('{"value": 4.0, "timestamp": 0.0}\n')


def set_permissions(root: Path, *, directories: int, files: int) -> None:
    """Change the mode of everything below a directory, itself included."""
    for path in (root, *root.rglob("*")):
        path.chmod(directories if path.is_dir() else files)


def to(store: FileStore, model: type[StateModel], uid: str) -> Ref:
    """A ref to a record of the store."""
    return ref(model, uid=uid, store=store)
