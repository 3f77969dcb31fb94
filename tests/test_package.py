"""The package as a whole: its public names, its errors, its layers, what is shipped."""

from __future__ import annotations

import ast
import copy
import pickle
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import filestore

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "filestore"

PUBLIC = [
    "CommitPendingError",
    "CorruptFileError",
    "FileStore",
    "FileStoreError",
    "ForeignRefError",
    "GitError",
    "InvalidUidError",
    "LockTimeoutError",
    "MergeConflictError",
    "ModelMismatchError",
    "ReadOnlyError",
    "RecordExistsError",
    "RecordNotFoundError",
    "StoreFormatError",
    "UnsupportedValueError",
]

ERRORS = {
    "CommitPendingError": OSError,
    "CorruptFileError": ValueError,
    "FileStoreError": Exception,
    "ForeignRefError": ValueError,
    "GitError": filestore.FileStoreError,
    "InvalidUidError": ValueError,
    "LockTimeoutError": TimeoutError,
    "MergeConflictError": filestore.CorruptFileError,
    "ModelMismatchError": TypeError,
    "ReadOnlyError": PermissionError,
    "RecordExistsError": filestore.FileStoreError,
    "RecordNotFoundError": KeyError,
    "StoreFormatError": ValueError,
    "UnsupportedValueError": TypeError,
}

# A module imports from the rows below its own, never from its own row or from above.
LAYERS = """
    pytest_plugin
    testing.contract
    testing.primitives
    testing.reads  testing.writes
    testing.subject  testing.models  testing.stock
    testing.factory  testing.make
    testing.store
    __main__  store
    finder
    primitives
    guids
    graph  cascade  search  graphql  rows
    refs  query  ordering
    lookups
    states
    schema
    series
    values
    forms
    classes  offloop
    testing.golden
    testing.report  fixtures
    cli.main
    cli.statistics  cli.git_setup  cli.diff  cli.log
    cli.reading  cli.renaming  cli.transfer  cli.upkeep  cli.writing  cli.merge_driver  cli.changes
    cli.directory
    cli.conditions  cli.terminal
    past
    versions
    comparison  merge
    parts
    repair
    check  database  offloop
    runtime  transaction
    problems  snapshot
    disk.revision
    disk.index  disk.inspection
    disk.recent
    disk.learning
    disk.manifest  disk.changes  disk.lock  disk.tails
    disk.log  disk.indexfile  disk.kinds  disk.copies
    disk.files  disk.documents  disk.exact  disk.git
    disk.layout  disk.descriptor
    errors
"""
ROWS = [line.split() for line in LAYERS.strip().splitlines()]
ROW = {name: number for number, row in enumerate(ROWS) for name in row}

# From here down, modules handle model names, uids and JSON, and know nothing of constelite.
ENGINE = ROW["testing.golden"]
ENGINE_USES = {"aiofiles", "filelock", "orjson"}
COMMAND_USES = {"click", "orjson", "rich"}


def modules() -> dict[str, Path]:
    """The package's modules by dotted name, without the packages' own ``__init__``."""
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.name != "__init__.py"
    }


MODULES = modules()


def imports(path: Path) -> set[str]:
    """The dotted names of all modules that a file imports, anywhere, also for types only."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            assert node.module is not None
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                is_module = whole.removeprefix("filestore.") in MODULES
                found.add(whole if is_module else node.module)
    return found


def imported_by(statement: str) -> set[str]:
    """The top-level packages that a fresh interpreter has loaded after a statement."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {statement}; print(*sys.modules)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return {name.partition(".")[0] for name in done.stdout.split()}


# -- public names ----------------------------------------------------------------------------------


def test_public_names_are_these() -> None:
    assert filestore.__all__ == PUBLIC
    assert sorted(PUBLIC) == PUBLIC


def test_every_public_name_is_there() -> None:
    for name in PUBLIC:
        assert getattr(filestore, name).__name__ == name
        assert name in dir(filestore)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'filestore' has no attribute 'MemoryStore'"):
        _ = filestore.MemoryStore  # type: ignore[attr-defined]


def test_import_is_light() -> None:
    heavy = {
        "aiofiles",
        "asyncio",
        "constelite",
        "numpy",
        "orjson",
        "pandas",
        "pydantic",
        "sqlite3",
    }

    assert not imported_by("import filestore") & {*heavy, "re", "typing"}
    assert not imported_by("from filestore import CorruptFileError") & heavy


def test_engine_is_light() -> None:
    engine = [name for name in MODULES if ROW[name] >= ENGINE]
    loaded = imported_by("; ".join(f"import filestore.{name}" for name in engine))

    assert not loaded & {"constelite", "numpy", "pandas", "pydantic"}


def test_commands_are_light() -> None:
    """A merge starts the driver once a file."""
    commands = ["cli.merge_driver", "cli.diff", "cli.log", "cli.git_setup"]
    loaded = imported_by("; ".join(f"import filestore.{name}" for name in commands))

    assert not loaded & {"asyncio", "constelite", "numpy", "pandas", "pydantic"}


# -- layers ----------------------------------------------------------------------------------------


def test_every_module_has_a_layer() -> None:
    assert sorted(MODULES) == sorted(ROW)


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_down(name: str) -> None:
    ours = {
        module.removeprefix("filestore.")
        for module in imports(MODULES[name])
        if module.startswith("filestore.")
    }

    assert [other for other in sorted(ours) if ROW[other] <= ROW[name]] == []


@pytest.mark.parametrize("name", [name for name in MODULES if ROW.get(name, 0) >= ENGINE])
def test_engine_knows_nothing_of_constelite(name: str) -> None:
    packages = {module.partition(".")[0] for module in imports(MODULES[name])}

    uses = COMMAND_USES if name.startswith("cli.") else ENGINE_USES
    assert packages - {"filestore"} - sys.stdlib_module_names <= uses


@pytest.mark.parametrize("name", MODULES)
def test_modules_are_short(name: str) -> None:
    assert len(MODULES[name].read_text("utf-8").splitlines()) <= 400


# -- errors ----------------------------------------------------------------------------------------


def test_every_error_is_public() -> None:
    from filestore import errors

    defined = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.FileStoreError)
    }

    assert defined == ERRORS.keys()
    assert ERRORS.keys() == set(PUBLIC) - {"FileStore"}


@pytest.mark.parametrize("name", ERRORS)
def test_error_has_its_parents(name: str) -> None:
    cls = getattr(filestore, name)

    assert issubclass(cls, filestore.FileStoreError)
    assert issubclass(cls, ERRORS[name])
    assert cls.__doc__


@pytest.mark.parametrize("name", ERRORS)
def test_error_shows_its_sentence(name: str) -> None:
    error = getattr(filestore, name)("data/Cat/x.json is gone: restore it", uid="x")

    assert str(error) == "data/Cat/x.json is gone: restore it"
    assert repr(error) == f"{name}('data/Cat/x.json is gone: restore it')"


@pytest.mark.parametrize(
    "clone", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))]
)
@pytest.mark.parametrize("name", ERRORS)
def test_error_survives_pickle_and_copy(name: str, clone) -> None:  # type: ignore[no-untyped-def]
    attributes = {
        "path": Path("data/Cat/x.json"),
        "line": 3,
        "model": "Cat",
        "uid": "x",
        "field": "age",
    }
    error = getattr(filestore, name)("it is wrong: correct it", **attributes)

    again = clone(error)

    assert type(again) is type(error)
    assert str(again) == "it is wrong: correct it"
    assert {key: getattr(again, key) for key in attributes} == attributes


def test_attributes_that_do_not_apply_are_none() -> None:
    error = filestore.LockTimeoutError("somebody writes: wait")

    assert (error.path, error.line, error.model, error.uid, error.field) == (None,) * 5
    assert error.holder is None


# -- what is shipped -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names of the files in the wheel."""
    target = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", target],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=60,
    )
    (path,) = target.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def test_wheel_holds_the_package_and_its_types(wheel: list[str]) -> None:
    shipped = {name for name in wheel if ".dist-info/" not in name}
    expected = {
        path.relative_to(ROOT).as_posix() for path in (*PACKAGE.rglob("*.py"), PACKAGE / "py.typed")
    }

    assert shipped == expected


def test_wheel_holds_the_licence(wheel: list[str]) -> None:
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel)


def test_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

    assert filestore.__version__ == project["version"]
    assert f"## [{project['version']}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")
