"""Finding everything that is wrong with a data directory. Changes nothing, and takes no lock.

Works on the files alone: what a model class declares is not known here. One bad file never hides
the others. What is written while the check runs is not taken for damage: a problem that is not
there when the directory is looked at again after a commit was none.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from filestore.disk import documents, exact, layout
from filestore.disk.files import Files
from filestore.disk.index import Index
from filestore.disk.layout import Key
from filestore.errors import (
    CorruptFileError,
    FileStoreError,
    MergeConflictError,
)
from filestore.problems import Problem, reason
from filestore.runtime import check_manifest, check_runtime, readable_log
from filestore.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from filestore.disk.documents import Document, Links

    Progress = Callable[[int, int], None]

# How often the directory is looked at while others commit to it.
_TRIES = 3
_MODEL_NAME = "model_name"


def check(root: str, progress: Progress | None = None) -> list[Problem]:
    """Find every problem of the data directory ``root``, ordered by path and line.

    Args:
        root: The directory.
        progress: Told the number of files that are done, and of all, once in a while; called in
            the thread that the check runs in.

    Raises:
        StoreFormatError: There is no such directory.
        OSError: The directory itself cannot be read.
    """
    return scan(root, progress).problems


def scan(root: str, progress: Progress | None = None) -> Scan:
    """Look at everything, again if somebody committed meanwhile."""
    log = readable_log(root)
    found = None
    for _ in range(_TRIES):
        before = log.marks().committed
        latest = Scan(root, progress)
        if found is not None:
            seen = set(found.problems)
            latest.problems = [problem for problem in latest.problems if problem in seen]
        found = latest
        if not found.problems or log.marks().committed == before:
            break
    assert found is not None
    return found


class Scan:
    """One look at a data directory.

    Args:
        root: The directory.
        progress: As for :func:`check`.

    Attributes:
        problems: What is wrong, ordered by path and line.
        repaired: For each record file that can be mended, what it holds and what it should hold;
            None if it should not be there.
        removed: What these repairs take out of the files, for whoever wants it back.
        links: The links of every relationship index that can be read.
        counts: Records by model.
    """

    def __init__(self, root: str, progress: Progress | None = None) -> None:
        self.problems: list[Problem] = []
        self.repaired: dict[str, tuple[Key, bytes, bytes | None]] = {}
        self.removed: list[dict[str, Any]] = []
        self.links: dict[Key, Links] = {}
        self._files = files = Files(root)
        self._progress = progress
        if check_manifest(files, self._report):
            log = readable_log(root)
            self._view = Snapshot(files, Index(files, log, in_memory=True), log)
            self._records()
            check_runtime(files, log, self.links, self._report)
        self.problems.sort(key=lambda problem: problem.place)

    # -- names -------------------------------------------------------------------------------------

    def _records(self) -> None:
        self._root_entries()
        names = {model: self._names(model) for model in self._view.models()}
        self._uids = {model: set(filter(None, map(layout.uid_of, names[model]))) for model in names}
        self._clashes()
        total = sum(map(len, names.values()))
        done = 0
        for model, found in names.items():
            for name in found:
                self._file(model, name)
                done += 1
                if self._progress is not None and (done % 100 == 0 or done == total):
                    self._progress(done, total)

    def _root_entries(self) -> None:
        """Find what has the name of a model directory and leads elsewhere."""
        with os.scandir(self._files.root) as entries:
            for entry in entries:
                is_ours = not entry.name.startswith(".") and layout.model_of(entry.name) is not None
                if is_ours and not entry.is_dir(follow_symlinks=False) and entry.is_dir():
                    self._report(
                        entry.name,
                        None,
                        "FS302",
                        "is a symbolic link, where the directory of a model should be: "
                        "move the records here, FileStore does not follow it",
                    )

    def _names(self, model: str) -> list[str]:
        """The files of a model directory, with those that a commit is about to make."""
        directory = layout.directory_of(model)
        try:
            names = set(self._files.names(model))
        except OSError as error:
            self._unreadable(directory, error)
            return []
        coming = (path.partition("/") for path in self._view.pending())
        names.update(name for parent, _, name in coming if parent == directory)
        return sorted(name for name in names if self._is_there(f"{directory}/{name}"))

    def _is_there(self, path: str) -> bool:
        try:
            return path not in self._view.pending() or self._view.read(path) is not None
        except FileStoreError:
            return True

    def _clashes(self) -> None:
        """Find names that are not the only ones of their kind."""
        models: dict[str, list[str]] = {}
        for model, uids in self._uids.items():
            for uid in uids:
                models.setdefault(uid, []).append(model)
            for group in layout.alike(uids):
                for uid in group:
                    self._case(Key(model, uid).properties, (u for u in group if u != uid))
        for uid, homes in models.items():
            for model in homes if len(homes) > 1 else ():
                others = (Key(home, uid).link for home in homes if home != model)
                self._report(
                    Key(model, uid).properties,
                    None,
                    "FS206",
                    f"has the uid of {' and '.join(others)}, and a uid names one record of a "
                    "store: rename one of them",
                )
        for group in layout.alike(map(layout.directory_of, self._uids)):
            for directory in group:
                self._case(directory, (other for other in group if other != directory))

    def _case(self, path: str, others: Iterable[str]) -> None:
        self._report(
            path,
            None,
            "FS207",
            f"differs in case alone from {', '.join(sorted(others))}, which is the same name on "
            "many file systems: rename one of them",
        )

    # -- files -------------------------------------------------------------------------------------

    def _file(self, model: str, name: str) -> None:
        """Look at one file of a model directory."""
        path = f"{layout.directory_of(model)}/{name}"
        series = layout.series_of(name)
        uid = layout.uid_of(name) or layout.links_uid_of(name) or (series[0] if series else None)
        if uid is None:
            if name.endswith((".json", ".jsonl")) and not name.startswith("."):
                self._report(
                    path,
                    None,
                    "FS303",
                    "belongs to no record, because its name is none of uid.json, uid.rels.json "
                    "and uid.property.jsonl: rename it, or move it out of the model directory",
                )
            return
        key = Key(model, uid)
        data = self._read(path)
        if data is None:
            return
        if uid not in self._uids[model]:
            self._orphan(key, path, data, is_series=series is not None)
        elif series is not None:
            self._points(key, path, data)
        elif path == key.links:
            self._links(key, data)
        else:
            self._properties(key, data)

    def _read(self, path: str) -> bytes | None:
        try:
            return self._view.read(path)
        except CorruptFileError as error:
            self._report(path, None, "FS301", reason(error))
        except OSError as error:
            self._unreadable(path, error)
        return None

    def _orphan(self, key: Key, path: str, data: bytes, *, is_series: bool) -> None:
        if self._view.exists(key):
            return  # made since the directory was listed
        code, what = ("FS205", "time series") if is_series else ("FS204", "relationship index")
        self._report(
            path,
            None,
            code,
            f"is the {what} of a record that is not there: "
            f"restore {key.properties}, or let repair take it away",
            repairable=True,
        )
        self.repaired[path] = key, data, None
        self.removed.append({"code": code, "path": path, **exact.as_text(data)})

    def _properties(self, key: Key, data: bytes) -> None:
        document = self._document(key.properties, data)
        if document is None:
            return
        name = document.get(_MODEL_NAME, key.model)
        if name != key.model:
            text = f"says {_MODEL_NAME} {layout.shown(name)}, but lies in the directory of "
            text += f"{layout.shown(key.model)}: move the file or correct the name"
            line = documents.line_of(data, _MODEL_NAME)
            self._report(key.properties, line, "FS106", text)
        self._compare(key, key.properties, data, documents.encode_document(document))

    def _links(self, key: Key, data: bytes) -> None:
        path = key.links
        document = self._document(path, data)
        if document is None:
            return
        if not self._compare(key, path, data, documents.encode_document(document)):
            return
        lines: dict[tuple[str, str], list[int]] = {}
        for name, text, line in documents.texts_of(data):
            lines.setdefault((name, text), []).append(line)
        sound: Links = {}
        for name, targets in document.items():
            if type(targets) is not list:
                self._report(
                    path,
                    documents.line_of(data, name),
                    "FS103",
                    f"has no list of links for {layout.shown(name)}: correct it",
                )
                continue
            sound[name] = []
            left: list[Any] = []
            for target in targets:
                if type(target) is not str:
                    text = f"has a link that is no text in {layout.shown(name)}: a link is a text, "
                    where = documents.line_of(data, name)
                    self._report(path, where, "FS103", f'{text}"Model/uid"')
                    left.append(target)
                    continue
                line = lines[name, target].pop(0)
                problem = self._link(path, name, target, sound[name], line)
                if problem not in ("FS201", "FS203"):
                    left.append(target)
                if problem == "FS201":
                    removed = {"relationship": name, "link": target}
                    self.removed.append({"code": problem, "path": path, **removed})
            if left != targets:
                document[name] = left
                self.repaired[path] = key, data, documents.encode_document(document)
        self.links[key] = sound

    def _link(
        self,
        path: str,
        name: str,
        target: str,
        sound: list[Key],
        line: int,
    ) -> str | None:
        """Look at one link; the code of its problem, if it has one."""
        try:
            key = Key.from_link(target)
        except ValueError as error:
            text = f"has a wrong link in {layout.shown(name)}: {error}: correct or delete it"
            self._report(path, line, "FS202", text)
            return "FS202"
        if key in sound:
            text = f"has the link {target} in {layout.shown(name)} a second time: delete one"
            self._report(path, line, "FS203", text, repairable=True)
            return "FS203"
        sound.append(key)
        if key.uid in self._uids.get(key.model, ()) or self._view.exists(key):
            return None
        text = f"links in {layout.shown(name)} to {target}, and there is no such record: "
        self._report(path, line, "FS201", f"{text}restore it or delete the link", repairable=True)
        return "FS201"

    def _points(self, key: Key, path: str, data: bytes) -> None:
        where = self._files.path(path)
        try:
            points = documents.decode_points(data, where)
        except CorruptFileError as error:
            if isinstance(error, MergeConflictError) or not data.strip(b"\0"):
                self._corrupt(path, error)
                return
            for number, line in enumerate(data.removesuffix(b"\n").split(b"\n"), 1):
                try:
                    documents.decode_points(line + b"\n", where)
                except CorruptFileError as wrong:
                    self._report(path, number, "FS107", reason(wrong))
            return
        self._compare(key, path, data, documents.encode_points(points))

    # -- content -----------------------------------------------------------------------------------

    def _document(self, path: str, data: bytes) -> Document | None:
        try:
            return documents.decode_document(data, self._files.path(path))
        except CorruptFileError as error:
            self._corrupt(path, error)
            return None

    def _compare(self, key: Key, path: str, data: bytes, wanted: bytes) -> bool:
        """Tell whether a file can be written anew without losing anything."""
        if data == wanted:
            return True
        number = _first_difference(data, wanted)
        if not exact.is_same(data, wanted):
            self._report(
                path,
                None,
                "FS105",
                "has a number with more digits, or larger, than a float keeps: "
                "shorten it, or put it in quotes",
            )
            return False
        self._report(
            path,
            number,
            "FS104",
            "is not in canonical form, so the next write of it changes more lines than it must: "
            "let repair rewrite it",
            repairable=True,
        )
        self.repaired[path] = key, data, wanted
        return True

    # -- reports -----------------------------------------------------------------------------------

    def _corrupt(self, path: str, error: CorruptFileError) -> None:
        code = "FS102"
        if isinstance(error, MergeConflictError):
            code = "FS101"
        elif "it should hold an object" in error.message:
            code = "FS103"
        self._report(path, error.line, code, reason(error))

    def _unreadable(self, path: str, error: OSError) -> None:
        text = f"cannot be read ({error.strerror}): correct its permissions"
        self._report(path, None, "FS304", text)

    def _report(
        self, path: str, line: int | None, code: str, text: str, *, repairable: bool = False
    ) -> None:
        self.problems.append(Problem(path, line, code, text, repairable))


def _first_difference(data: bytes, other: bytes) -> int:
    """The first line, counted from 1, in which two contents differ."""
    ours, others = data.splitlines(keepends=True), other.splitlines(keepends=True)
    pairs = enumerate(zip(ours, others, strict=False), 1)
    return next((number for number, (a, b) in pairs if a != b), min(len(ours), len(others)))
