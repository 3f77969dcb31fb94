"""The command as a whole: as a process, its help, its errors, on a terminal, interrupted."""

from __future__ import annotations

import errno
import importlib
import os
import pty
import re
import resource
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

import filestore
from filestore.cli import main, terminal
from filestore.cli.main import COMMANDS
from filestore.disk import layout
from filestore.disk.files import Files
from tests.command import files, out, run
from tests.directories import records, write

ROOT = Path(__file__).parent.parent
PROGRAM = Path(sys.executable).with_name("filestore")
# What a start may cost in seconds of the processor, of which a busy machine needs more.
SLOWEST = 0.25


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store with one cat."""
    out("init", tmp_path / "data", "--name", "cats")
    out("put", tmp_path / "data", "Cat/tom", "name=Tom", "age=3")
    return tmp_path / "data"


def process(*args: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the installed command."""
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        [PROGRAM, *args], capture_output=True, timeout=30, check=False, **{"text": True, **options}
    )


def on_terminal(*args: str | Path, **environment: str) -> str:
    """What the command shows on a terminal."""
    leader, follower = pty.openpty()
    child = subprocess.Popen(
        [PROGRAM, *args],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", **environment},
    )
    os.close(follower)
    shown = b""
    try:
        while chunk := os.read(leader, 1 << 16):
            shown += chunk
    except OSError:  # Linux says that the other end is closed
        pass
    os.close(leader)
    assert child.wait(timeout=30) == 0
    return shown.decode().replace("\r\n", "\n")


# -- as a process ----------------------------------------------------------------------------------


def test_installed_command(root: Path) -> None:
    done = process("ls", root, "Cat")

    assert (done.returncode, done.stdout, done.stderr) == (0, "uid  age  name\ntom    3  Tom\n", "")


def test_exit_status_and_errors(root: Path) -> None:
    write(root / "Cat/kim.json", {"b": 1})
    assert process("check", root).returncode == 1
    done = process("show", root, "bart")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert process("ls").returncode == 2


def test_module_runs_as_well(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["filestore", "ls", str(root), "Cat"])
    with pytest.raises(SystemExit) as end:
        importlib.import_module("filestore.__main__")

    assert end.value.code == 0
    assert capsys.readouterr().out == "uid  age  name\ntom    3  Tom\n"


def test_pipe_that_is_closed_early(root: Path) -> None:
    for number in range(500):
        write(root / f"Cat/c{number}.json", {"name": "x" * 500})
    command = f"{PROGRAM} export {root} | head -n 1"
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, timeout=30, check=True
    )

    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_nobody_reads_on(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def models(_: Files) -> list[str]:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(Files, "models", models)

    assert run("ls", root) == (1, "", "")


def test_terminal_that_does_not_know_all_characters(root: Path) -> None:
    out("put", root, "Cat/tom", "name=Mémé")
    out("link", root, "tom", "friend", "tom")
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = process("show", root, "tom", env=environment, encoding="latin-1")

    assert done.returncode == 0
    assert "name    Mémé" in done.stdout
    assert "friend  \\u2192 Cat/tom" in done.stdout


def test_completion(root: Path) -> None:
    for shell in ("bash", "zsh", "fish"):
        done = process(env={**os.environ, "_FILESTORE_COMPLETE": f"{shell}_source"})
        assert done.returncode == 0
        assert "_FILESTORE_COMPLETE" in done.stdout
    words = {"COMP_WORDS": "filestore re", "COMP_CWORD": "1"}
    done = process(env={**os.environ, **words, "_FILESTORE_COMPLETE": "bash_complete"})
    assert [line.partition(",")[2] for line in done.stdout.splitlines()] == [
        *("repair", "rename-model", "rename-property", "reindex", "recover"),
    ]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["ls", "{}", ""], ["Cat", "Job%5Bint%5D"]),
        (["ls", "{}", "C"], ["Cat"]),
        (["show", "{}", "t"], ["tom", "two"]),
        (["show", "{}", "tom", "Cat/"], ["Cat/tom"]),
        (["rm", "{}", ""], ["tom", "two"]),
        (["link", "{}", "tom", "x", "tw"], ["two"]),
        (["put", "{}", "J"], ["Job%5Bint%5D"]),
        (["rename-model", "{}", "C"], ["Cat"]),
        (["ls", "{}/nothing", ""], []),
    ],
)
def test_completion_of_models_and_uids(root: Path, words: list[str], offered: list[str]) -> None:
    write(root / "Job%5Bint%5D/two.json", {})
    *args, incomplete = (word.format(root) for word in words)
    completion = ShellComplete(main.cli, {}, "filestore", "_FILESTORE_COMPLETE")

    assert [item.value for item in completion.get_completions(args, incomplete)] == offered


def test_start_is_fast_and_light(root: Path) -> None:
    """Nothing of the web framework is loaded, nor rich, as long as there is no terminal."""
    code = "import sys\nfrom filestore.cli.main import cli\n"
    code += f"cli(['ls', {str(root)!r}, 'Cat'], standalone_mode=False)\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "filestore.cli.reading" in loaded
    assert not loaded & {"constelite", "pydantic", "numpy", "pandas", "rich"}
    assert not loaded & {"filestore.store", "filestore.cli.writing", "filestore.cli.upkeep"}

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    def timed() -> float:
        start = used()
        process("ls", root)
        return used() - start

    assert min(timed() for _ in range(3)) < SLOWEST


# -- help and errors -------------------------------------------------------------------------------


def test_every_command_has_help_with_an_example() -> None:
    listed = out("--help")
    for name in COMMANDS:
        assert re.search(rf"^  {name} ", listed, re.MULTILINE)
        text = " ".join(out(name, "-h").split())
        assert f"Usage: cli {name} [OPTIONS] " in text
        assert f"Example: filestore {name} " in text


def test_every_command_is_documented() -> None:
    text = "".join(path.read_text("utf-8") for path in (ROOT / "docs").glob("*.md"))

    for name in COMMANDS:
        assert f"filestore {name}" in text
        command = main.cli.get_command(None, name)  # type: ignore[arg-type]
        assert command is not None
        for parameter in command.params:
            if parameter.param_type_name == "option":
                assert any(option in text for option in parameter.opts), f"{name} {parameter.name}"


def test_every_reading_command_writes_json() -> None:
    for name in ("ls", "show", "stats", "check", "diff", "log"):
        assert "--json" in out(name, "--help")


def test_version() -> None:
    assert out("--version") == f"filestore, version {filestore.__version__}\n"


def test_unknown_command() -> None:
    done = run("lst")

    assert done.status == 2
    assert "No such command 'lst'" in done.err


def test_debug_shows_where_an_error_comes_from(tmp_path: Path) -> None:
    done = run("--debug", "ls", tmp_path / "nothing")
    assert done.err.startswith("Traceback (most recent call last):\n")
    assert f"filestore.errors.StoreFormatError: {tmp_path}/nothing is no directory" in done.err
    done = run("--debug", "ls", tmp_path / "\x1b[31m")
    assert done.status == 1
    assert all(line.isprintable() for line in done.err.splitlines())
    assert run("ls", tmp_path / "nothing") == (
        1,
        "",
        f"filestore: {tmp_path}/nothing is no directory: give the path of a data directory\n",
    )


def test_error_of_the_system_is_one_sentence(root: Path) -> None:
    done = run("export", root, "-o", root / "no" / "lines.jsonl")

    assert done.status == 1
    assert done.err.startswith("filestore: [Errno ")
    assert done.err.count("\n") == 1


def test_hostile_error_is_spelled_out(tmp_path: Path) -> None:
    done = run("ls", tmp_path / "\x1b[31m\n")

    assert r"\x1b[31m\n is no directory" in done.err
    assert done.err.count("\n") == 1


def test_warnings_of_the_engine_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import logging

    for _ in range(2):
        terminal.show_warnings()
    logger = logging.getLogger("filestore")
    ours = [handler for handler in logger.handlers if type(handler).__module__ == terminal.__name__]
    logger.warning("\x1b[31m was edited")

    assert len(ours) == 1
    assert capsys.readouterr().err.splitlines()[0] == r"filestore: \x1b[31m was edited"


# -- on a terminal ---------------------------------------------------------------------------------


def test_table_on_a_terminal(root: Path) -> None:
    write(root / "Cat/kim.json", {"name": "[red]Kim[/red]\x1b[31m"})

    shown = on_terminal("ls", root, "Cat")
    assert "\x1b[1m" in shown
    assert r"[red]Kim[/red]\x1b[31m" in shown
    plain = on_terminal("ls", root, "Cat", NO_COLOR="1", TERM="dumb")
    assert "\x1b" not in plain
    assert [line.split() for line in plain.splitlines()][1:] == [
        ["uid", "age", "name"],
        ["─" * 34],
        ["kim", r"[red]Kim[/red]\x1b[31m"],
        ["tom", "3", "Tom"],
        [],
    ]


def test_table_is_a_table(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("NO_COLOR", "1")
    main.cli(["ls", str(root), "Cat"], standalone_mode=False)

    lines = [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", stream.text).splitlines()]
    assert [line for line in lines if line] == [
        " uid   age   name",
        " " + "─" * 16,
        " tom     3   Tom",
    ]


def test_colour_can_be_switched_off(root: Path) -> None:
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", on_terminal("ls", root, NO_COLOR="1"))


def test_export_to_a_terminal_is_spelled_out(root: Path) -> None:
    write(root / "Cat/tom.json", {"name": "\x9b31m"})

    assert on_terminal("export", root) == (
        '{"model":"Cat","properties":{"name":"\\u009b31m"},"uid":"tom"}\n'
    )


class Terminal:
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return True


def test_progress_of_what_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(terminal, "_PATIENCE", 0.01)
    monkeypatch.setenv("TERM", "xterm")
    deadline = time.monotonic() + 20

    with terminal.Progress("Counting") as progress:
        progress(50, 200)
        while "25%" not in stream.text and time.monotonic() < deadline:
            time.sleep(0.01)
        while "75%" not in stream.text and time.monotonic() < deadline:
            progress(150, 200)
            time.sleep(0.01)

    assert "Counting" in stream.text
    assert "75%" in stream.text


def test_no_progress_of_what_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)

    with terminal.Progress("Counting") as progress:
        progress(1, 2)
    progress._show()

    assert stream.text == ""


# -- writing ---------------------------------------------------------------------------------------


def test_write_in_a_thread(root: Path) -> None:
    """A signal handler can be set in the main thread alone."""
    from filestore.cli.directory import write as in_one_unit

    with ThreadPoolExecutor() as pool:
        found = pool.submit(in_one_unit, str(root), lambda unit: unit.uids("Cat")).result()
    assert found == ["tom"]


# -- interrupted -----------------------------------------------------------------------------------


def test_interrupt_leaves_the_store_whole(root: Path) -> None:
    """Ctrl-C while an import waits for its next line: nothing of it is there."""
    before = records(root)
    command = [PROGRAM, "import", root]
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert child.stdin is not None
    child.stdin.write('{"model":"Cat","properties":{},"uid":"kim"}\n')
    child.stdin.flush()
    deadline = time.monotonic() + 20
    holder = f"pid {child.pid} "
    while holder not in (root / layout.LOCK).read_text() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.2)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=30)

    assert child.returncode == 1
    assert err.strip() == "Aborted!"
    assert records(root) == before
    assert out("check", root) == ""
    out("put", root, "Cat/kim", "age=1")
    assert "Cat/kim.json" in files(root)


# -- pre-commit ------------------------------------------------------------------------------------


def test_pre_commit_hook_runs_check(root: Path) -> None:
    text = (ROOT / ".pre-commit-hooks.yaml").read_text("utf-8")

    assert "- id: filestore-check\n" in text
    (entry,) = re.findall(r"^  entry: filestore (.*)$", text, re.MULTILINE)
    (arguments,) = re.findall(r'^  args: \["(.*)"\]$', text, re.MULTILINE)
    done = process(entry, arguments, cwd=root)
    assert (done.returncode, done.stdout) == (0, "")
    write(root / "Cat/kim.json", {})
    done = process(entry, arguments, cwd=root)
    assert done.returncode == 1
    assert done.stdout.startswith("Cat/kim.json:1: FS104 ")
