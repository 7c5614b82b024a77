"""Which event loop runs here: asyncio's, uvloop's or trio's."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from .base import Runtime


def running_loop() -> Any:
    """Return what stands for the running event loop; `RuntimeError` when none runs.

    >>> async def main(): return running_loop() is asyncio.get_running_loop()
    >>> asyncio.run(main())
    True
    """
    trio = sys.modules.get("trio")
    # In trio's guest mode both run, and the task is trio's.
    if trio is not None and trio.lowlevel.in_trio_task():
        return trio.lowlevel.current_trio_token()
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError("AsyncClient needs a running event loop, of asyncio or trio") from None


def make_runtime(loop: Any, at_end: Callable[[], None]) -> tuple[Runtime, Callable[[], None]]:
    """Make the runtime of a loop; `at_end` is called when the loop ends in order, or the second value is."""
    runtime: Any
    if isinstance(loop, asyncio.AbstractEventLoop):
        from .asyncio import AsyncioRuntime

        runtime = AsyncioRuntime(loop)
    else:
        from .trio import TrioRuntime

        runtime = TrioRuntime()
    return runtime, runtime.at_end(at_end)


def has_ended(loop: Any) -> bool:
    """Tell whether a loop can no longer run."""
    if isinstance(loop, asyncio.AbstractEventLoop):
        return loop.is_closed()
    import trio

    try:
        loop.run_sync_soon(lambda: None)
    except trio.RunFinishedError:
        return True
    return False
