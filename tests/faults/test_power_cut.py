"""Real power cuts on a real ext4: the journal is stopped dead, the file system mounted again.

Misses nothing that the explorer of crash states leaves out, such as what ext4 itself does.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from filestore import FileStore
from tests.faults import strace
from tests.faults.scenarios import (
    contents,
    copy,
    open_store,
    patch_series_and_links,
    populate,
    put_one,
    recover,
    visible,
)

pytestmark = pytest.mark.privileged

EXT4_SHUTDOWN = 0x8004587D
JOURNAL_FLUSHED, JOURNAL_LOST = 1, 2


class Disk:
    """An ext4 in a file, to be mounted and cut off."""

    def __init__(self, directory: Path) -> None:
        self.image, self.mounted = directory / "disk", directory / "mnt"
        self.mounted.mkdir()
        self.image.write_bytes(b"")
        os.truncate(self.image, 24 << 20)
        self._call("mkfs.ext4", "-q", str(self.image))
        self.mount()

    def mount(self) -> None:
        self._call("mount", "-o", "loop", str(self.image), str(self.mounted))

    def unmount(self) -> None:
        self._call("umount", str(self.mounted))

    def cut_power(self, mode: int) -> None:
        """Stop the file system where it is, and mount what is left of it."""
        descriptor = os.open(self.mounted, os.O_RDONLY)
        fcntl.ioctl(descriptor, EXT4_SHUTDOWN, struct.pack("I", mode))
        os.close(descriptor)
        self.unmount()
        self.mount()

    @staticmethod
    def _call(*command: str) -> None:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    strace.require_strace()
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        pytest.skip("needs root and mkfs.ext4, to mount a file system of its own")
    try:
        disk = Disk(tmp_path)
    except OSError as error:
        pytest.skip(f"cannot mount a file system here: {error}")
    yield disk
    disk.unmount()


@pytest.mark.parametrize("mode", [JOURNAL_LOST, JOURNAL_FLUSHED], ids=["lost", "flushed"])
def test_a_durable_commit_survives_a_power_cut(
    mode: int, disk: Disk, tmp_path: Path, sampled: Any, count_points: Any
) -> None:
    told = tmp_path / "acknowledged"

    async def two_commits(store: FileStore) -> None:
        await patch_series_and_links(store)
        os.mkdir(told)
        await put_one(store)

    before = tmp_path / "before"
    asyncio.run(populate(before))
    outcomes = [contents(before)]
    for steps in ([patch_series_and_links], [patch_series_and_links, put_one]):
        target = copy(before, tmp_path / f"after-{len(outcomes)}")
        store = open_store(target)
        for step in steps:
            asyncio.run(step(store))
        outcomes.append(contents(target))

    def fresh() -> Path:
        root = disk.mounted / "data"
        shutil.rmtree(root, ignore_errors=True)
        if told.exists():
            told.rmdir()
        copy(before, root)
        os.sync()
        return root

    recorded = strace.record(fresh(), two_commits, tmp_path / "log", durable=True)
    points = sampled([p for p in recorded if p.call in strace.CHANGES.split(",")], 8)
    for point in points:
        root = fresh()
        outcome = strace.kill_at(root, two_commits, point, durable=True)
        acknowledged = 2 if outcome.report == "ok" else int(told.exists())
        disk.cut_power(mode)
        seen = visible(root)
        assert seen in outcomes[acknowledged:], point
        asyncio.run(recover(open_store(root)))
        assert contents(root) == seen
    count_points("power cuts on ext4", len(points))
