"""Work that takes long, off the event loop: in aiofiles' executor, with progress, cancellable."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiofiles.base import wrap

if TYPE_CHECKING:
    from collections.abc import Callable


class _CancelledWorkError(Exception):
    """Ends work in a thread that nobody waits for any more."""


async def cancellable(
    work: Callable[..., Any], progress: Callable[[int, int], None] | None = None
) -> Any:
    """Run work that reports its progress, off the event loop; a cancellation ends it soon.

    Args:
        work: Called with ``progress=``, a callable that it calls between its steps with the
            number of things done and of all there are.
        progress: Called with the same numbers, in the event loop.

    Returns:
        What the work returns.
    """
    loop = asyncio.get_running_loop()
    cancelled = False

    def report(done: int, total: int) -> None:
        if cancelled:
            raise _CancelledWorkError
        if progress is not None:
            loop.call_soon_threadsafe(progress, done, total)

    running = asyncio.ensure_future(wrap(work)(progress=report))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        cancelled = True
        running.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        raise
