"""Runs a scenario in a forked child under strace, and strikes at a chosen system call.

The child has everything imported and its event loop made, waits until strace is attached, runs the
scenario, and tells through a pipe how it ended. strace counts calls by name, so a point is a pair
(call, occurrence), taken from a recorded run.
"""

from __future__ import annotations

import asyncio
import os
import re
import select
import shutil
import socket
import subprocess
import traceback
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

from filestore import FileStore
from tests.faults.scenarios import Scenario, open_store

# Every system call that has to do with files. The event loop's own are left out.
CALLS = (
    "open,openat,read,pread64,write,pwrite64,rename,renameat,renameat2,unlink,unlinkat,mkdir,"
    "mkdirat,rmdir,link,linkat,stat,lstat,newfstatat,fstat,statx,getdents64,ftruncate,fsync,"
    "fdatasync,flock,fcntl,fallocate,access,faccessat2"
)
CHANGES = "openat,write,pwrite64,rename,unlink,mkdir,link,ftruncate,fsync,flock"


class Outcome(NamedTuple):
    """How the child ended.

    Attributes:
        report: "ok", the name of the exception that reached the caller, or "" if it was killed.
        text: The exception's text.
    """

    report: str
    text: str = ""


class Point(NamedTuple):
    """One moment: before the n-th call of that name.

    Attributes:
        call: The system call.
        occurrence: Its number, from 1.
        derived: Whether it is about the derived index.
    """

    call: str
    occurrence: int
    derived: bool = False


def require_strace() -> None:
    """Skip where strace cannot be used."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace (Debian package strace)")
    probe = subprocess.run(
        ["strace", "-o", os.devnull, "true"], capture_output=True, text=True, check=False
    )
    if probe.returncode != 0:
        pytest.skip(f"strace cannot attach here: {probe.stderr.strip()}")


def record(root: Path, scenario: Scenario, log: Path, **options: object) -> list[Point]:
    """Run a scenario undisturbed, and list the system calls that it made."""
    outcome = run(root, scenario, ["-y", "-o", str(log), "-e", f"trace={CALLS}"], **options)
    assert outcome == Outcome("ok"), outcome
    seen: Counter[str] = Counter()
    points = []
    for line in log.read_text(errors="replace").splitlines():
        match = re.match(r"(?:\d+\s+)?([a-z0-9_]+)\(", line)
        if match and "ERESTART" not in line:
            seen[match[1]] += 1
            points.append(Point(match[1], seen[match[1]], "index.sqlite" in line))
    assert points
    return points


def kill_at(root: Path, scenario: Scenario, point: Point, **options: object) -> Outcome:
    """Run a scenario and kill it right before a system call."""
    inject = f"inject={point.call}:signal=SIGKILL:when={point.occurrence}"
    return run(root, scenario, ["-o", os.devnull, "-e", inject], **options)


def fail_at(
    root: Path, scenario: Scenario, point: Point, error: str, *, lasting: bool, **options: object
) -> Outcome:
    """Run a scenario with a system call that fails, once or from then on."""
    when = f"{point.occurrence}{'+' if lasting else ''}"
    inject = f"inject={point.call}:error={error}:when={when}"
    return run(root, scenario, ["-o", os.devnull, "-e", inject], **options)


def run(root: Path, scenario: Scenario, arguments: list[str], **options: object) -> Outcome:
    """Run a scenario in a child under strace."""
    go_read, go_write = os.pipe()
    ours, theirs = socket.socketpair()  # told by sendto, which no fault concerns
    child = os.fork()
    if child == 0:
        try:
            os.close(go_write)
            ours.close()
            _run_child(root, scenario, go_read, theirs, options)
        except BaseException:  # before or after the scenario: the harness itself is broken
            theirs.sendall(traceback.format_exc().encode())
        finally:
            os._exit(1)
    os.close(go_read)
    theirs.close()
    assert ours.recv(1) == b"r"  # ready: what is counted begins with the scenario
    tracer = subprocess.Popen(
        ["strace", "-f", "-p", str(child), *arguments], stderr=subprocess.PIPE
    )
    assert tracer.stderr is not None
    try:
        assert b"attached" in tracer.stderr.readline()  # printed once the child is stopped
        os.write(go_write, b"g")
        os.close(go_write)
        report = b""
        while chunk := ours.recv(65536):
            report += chunk
    finally:
        ours.close()
        os.waitpid(child, 0)
        tracer.communicate(timeout=10)
    kind, _, text = report.decode().partition("\n")
    return Outcome(kind, text)


def _run_child(
    root: Path, scenario: Scenario, go: int, report: socket.socket, options: dict[str, object]
) -> None:
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        store: FileStore = open_store(root, **options)
        if options.get("durable"):  # the executor's thread, made before the faults begin
            loop.run_until_complete(loop.run_in_executor(None, int))
        report.sendall(b"r")
        select.select([go], [], [])  # not one of the calls that are counted
        try:
            loop.run_until_complete(scenario(store))
            message = b"ok"
        except BaseException as error:
            message = f"{type(error).__name__}\n{error}".encode()
        report.sendall(message)
        os._exit(0)
