"""`filestore export` and `import`: what goes out comes back, byte for byte, or nothing does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filestore.disk import documents
from filestore.disk.layout import Key
from tests.command import files, out, run
from tests.directories import records, write

KIM = b'{"model":"Cat","properties":{"model_name":"Cat","name":"Kim"},"uid":"kim"}\n'
TOM = (
    b'{"links":{"carer":["Human/lisa"],"friends":[]},"model":"Cat",'
    b'"properties":{"age":123456789012345678901234567890,"model_name":"Cat","x":0.1},'
    b'"series":{"mass (kg)":[{"timestamp":0.0,"value":4.1},{"timestamp":60.0,"value":null}],'
    b'"mood":[]},"uid":"tom"}\n'
)
LISA = b'{"links":{},"model":"Human","properties":{},"uid":"lisa"}\n'
ALL = KIM + TOM + LISA


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty store."""
    out("init", tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def full(root: Path) -> Path:
    """A store with the three records."""
    out("import", root, stdin=ALL)
    return root


def refused(root: Path, *lines: bytes, options: tuple[str, ...] = ()) -> str:
    before = records(root)
    done = run("import", root, *options, stdin=b"".join(lines))
    assert (done.status, done.out) == (1, "")
    assert records(root) == before
    return done.err.removeprefix("filestore: ").removesuffix("\n")


# -- there and back --------------------------------------------------------------------------------


def test_round_trip(full: Path, tmp_path: Path) -> None:
    text = out("export", full)
    assert text == ALL.decode()
    out("init", tmp_path / "other")
    (tmp_path / "lines.jsonl").write_text(text)

    assert out("import", tmp_path / "other", tmp_path / "lines.jsonl") == (
        "3 records imported, 0 skipped\n"
    )
    assert files(tmp_path / "other") == files(full)
    assert out("export", tmp_path / "other") == text
    assert out("check", full) == ""


def test_files_are_these(full: Path) -> None:
    assert files(full) == {
        "Cat/kim.json": '{\n  "model_name": "Cat",\n  "name": "Kim"\n}\n',
        "Cat/tom.json": (
            '{\n  "age": 123456789012345678901234567890,\n  "model_name": "Cat",\n  "x": 0.1\n}\n'
        ),
        "Cat/tom.mass%20%28kg%29.jsonl": (
            '{"timestamp":0.0,"value":4.1}\n{"timestamp":60.0,"value":null}\n'
        ),
        "Cat/tom.mood.jsonl": "\n",
        "Cat/tom.rels.json": '{\n  "carer": [\n    "Human/lisa"\n  ],\n  "friends": []\n}\n',
        "Human/lisa.json": "{}\n",
        "Human/lisa.rels.json": "{}\n",
    }


def test_models_can_be_chosen(full: Path) -> None:
    assert out("export", full, "Human", "Cat") == (LISA + KIM + TOM).decode()
    assert out("export", full, "Dog") == ""


def test_output_is_written_at_once(full: Path, tmp_path: Path) -> None:
    target = tmp_path / "lines.jsonl"
    out("export", full, "-o", target)
    assert target.read_bytes() == ALL

    (full / "Cat/tom.json").write_text("[")
    done = run("export", full, "--output", target)
    assert done.status == 1
    assert "is no valid JSON" in done.err
    assert target.read_bytes() == ALL
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "lines.jsonl"]
    assert run("export", full, "-o", tmp_path / "no" / "lines.jsonl").status == 1
    assert run("export", full, "Human", "-o", "/dev/null") == (0, "", "")


def test_export_of_many_counts_them(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from filestore.cli.terminal import Progress

    calls: list[int] = []
    monkeypatch.setattr(Progress, "__call__", lambda _, done, total=None: calls.append(done))
    for number in range(250):
        write(root / f"Cat/c{number}.json", {})
    assert out("export", root).count("\n") == 250

    assert calls == [100, 200]


def test_record_that_goes_meanwhile_is_left_out(
    full: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from filestore.snapshot import Snapshot

    real = Snapshot.uids
    monkeypatch.setattr(Snapshot, "uids", lambda view, model: [*real(view, model), "zoe"])

    assert out("export", full) == ALL.decode()


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3)
    ),
    max_leaves=6,
)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
points = st.lists(
    st.fixed_dictionaries(
        {"timestamp": st.floats(allow_nan=False, allow_infinity=False), "value": json_values}
    ),
    max_size=3,
)
keys = st.sampled_from([Key("Cat", "a"), Key("Cat", "b"), Key("Job[int]", "c")])
links = st.lists(keys.map(lambda key: key.link), unique=True)
contents = st.fixed_dictionaries(
    {"properties": st.dictionaries(names.filter(lambda n: n != "model_name"), json_values)},
    optional={
        "links": st.dictionaries(names, links, max_size=2),
        "series": st.dictionaries(names, points, min_size=1, max_size=2),
    },
)


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(keys, contents, max_size=3))
def test_every_store_goes_there_and_back(
    tmp_path_factory: pytest.TempPathFactory, store: dict[Key, dict[str, object]]
) -> None:
    root = tmp_path_factory.mktemp("store")
    lines = b"".join(
        documents.encode_line({"model": key.model, "uid": key.uid, **store[key]})
        for key in sorted(store)
    )
    run("import", root, stdin=lines)

    exported = run("export", root).out
    assert exported.encode() == lines
    assert {line.split(": ")[1][:5] for line in run("check", root).out.splitlines()} <= {"FS201"}


# -- conflicts -------------------------------------------------------------------------------------


def test_conflict_fails(full: Path) -> None:
    assert refused(full, LISA.replace(b"lisa", b"bart"), TOM) == (
        "<stdin>, line 2: Cat/tom is there already: "
        "give --on-conflict, or take the line out; nothing was imported"
    )


def test_conflict_is_skipped(full: Path) -> None:
    before = files(full)
    changed = TOM.replace(b"0.1", b"0.2")

    assert out("import", full, "--on-conflict", "skip", stdin=changed + b"\n" + LISA) == (
        "0 records imported, 2 skipped\n"
    )
    assert files(full) == before


def test_conflict_is_replaced_as_a_whole(full: Path) -> None:
    line = b'{"model":"Cat","uid":"tom","properties":{"name":"Tom"},"series":{"mood":[]}}'
    assert out("import", full, "--on-conflict", "replace", stdin=line) == (
        "1 record imported, 0 skipped\n"
    )

    assert {name: text for name, text in files(full).items() if "tom" in name} == {
        "Cat/tom.json": '{\n  "name": "Tom"\n}\n',
        "Cat/tom.mood.jsonl": "\n",
    }


def test_replacing_a_store_by_itself_touches_no_file(full: Path) -> None:
    before = records(full)
    out("import", full, "--on-conflict", "replace", stdin=ALL)

    assert records(full) == before


def test_uid_of_another_model_is_never_replaced(full: Path) -> None:
    line = TOM.replace(b'"Cat"', b'"Dog"')

    assert "Cat/tom is there already" in refused(full, line, options=("--on-conflict", "replace"))
    assert out("import", full, "--on-conflict", "skip", stdin=line).endswith("1 skipped\n")


# -- what is no record -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"{", "is no valid JSON, unexpected end of data: correct it"),
        (b"[]", "holds a list: a line should hold an object {…}"),
        (b'{"model":"Cat"}', "has no 'model' and 'uid' that can name a record"),
        (
            b'{"model":"Cat","uid":"../x","properties":{}}',
            "has no 'model' and 'uid' that can name a record",
        ),
        (b'{"model":1,"uid":"x","properties":{}}', "has no 'model' and 'uid'"),
        (b'{"model":"","uid":"x","properties":{}}', "'' cannot name a model directory"),
        (b'{"model":"Cat","uid":"x"}', "has no 'properties'"),
        (b'{"model":"Cat","uid":"x","properties":[]}', "has no object for 'properties'"),
        (
            b'{"model":"Cat","uid":"x","properties":{"model_name":"Dog"}}',
            "says another model_name than the model 'Cat'",
        ),
        (b'{"model":"Cat","uid":"x","properties":{},"age":3}', "has 'age', which is no part"),
        (
            b'{"model":"Cat","uid":"x","properties":{},"links":{"a":["x"]}}',
            "has a wrong link in 'a': 'x' is not the path of a record",
        ),
        (b'{"model":"Cat","uid":"x","properties":{},"links":{"a":1}}', "has a number for 'a'"),
        (
            b'{"model":"Cat","uid":"x","properties":{},"series":{"w":{}}}',
            "has no list of points for 'w'",
        ),
        (
            b'{"model":"Cat","uid":"x","properties":{},"series":{"w":[{}]}}',
            "is no point of a time series",
        ),
        (
            b'{"model":"Cat","uid":"x","properties":{},"series":{"":[]}}',
            "'' of Cat cannot name a file of its time series",
        ),
        (KIM, "has Cat/kim again, after line 1: correct the line; nothing was imported"),
    ],
)
def test_wrong_line_is_refused_with_all_others(root: Path, line: bytes, problem: str) -> None:
    text = refused(root, KIM, line)

    assert problem in text
    assert "<stdin>, line 2: " in text
    assert files(root) == {}


def test_links_to_nowhere_are_told(root: Path) -> None:
    assert run("import", root, stdin=TOM) == (
        0,
        "1 record imported, 0 skipped\n",
        "filestore: links lead to 1 record not in the store: see check\n",
    )
    assert run("check", root).out.split()[1] == "FS201"
    out("import", root, stdin=LISA)
    assert out("check", root) == ""


def test_file_that_is_not_there(root: Path, tmp_path: Path) -> None:
    done = run("import", root, tmp_path / "nothing.jsonl")

    assert done.status == 2
    assert "No such file" in done.err


def test_lines_end_as_they_like(root: Path) -> None:
    out("import", root, stdin=b"\r\n" + KIM.replace(b"\n", b"\r\n") + b"  \n" + LISA.rstrip())

    assert json.loads(files(root)["Cat/kim.json"])["name"] == "Kim"
    assert "Human/lisa.json" in files(root)
