"""Cancel a coroutine at its n-th suspension, and at no other moment, under asyncio and trio.

`when="waiting"`: the cancellation comes while the task waits. `when="answered"`: it comes after what the task waits
for has happened and before the task runs on; that is where leases and wake-ups get lost. (Trio has no such moment:
a task that is rescheduled can no longer be cancelled there.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any


class _Counted:
    """Awaits a coroutine and calls `at_suspension(n, awaited)` at each of its suspensions, before it waits."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], at_suspension: Any) -> None:
        self._coroutine = coroutine
        self._at_suspension = at_suspension

    def __await__(self) -> Generator[Any, Any, Any]:
        number = 0
        step: Any = lambda: self._coroutine.send(None)  # noqa: E731
        while True:
            try:
                awaited = step()
            except StopIteration as stop:
                return stop.value
            number += 1
            self._at_suspension(number, awaited)
            try:
                value = yield awaited
            except BaseException as error:  # the cancellation, on its way to where the coroutine waits
                step = lambda error=error: self._coroutine.throw(error)  # noqa: E731
            else:
                step = lambda value=value: self._coroutine.send(value)  # noqa: E731


async def _cancel_asyncio(coroutine: Coroutine[Any, Any, Any], at: int, when: str) -> bool:
    hit = False

    def at_suspension(number: int, awaited: Any) -> None:
        nonlocal hit
        if number != at:
            return
        hit = True
        task = asyncio.current_task()
        assert task is not None
        if when == "answered" and awaited is not None:
            awaited.add_done_callback(lambda _future: task.cancel())  # runs before the task's own wake-up
        else:
            task.cancel()

    async def main() -> None:
        await _Counted(coroutine, at_suspension)

    try:
        await asyncio.ensure_future(main())
    except asyncio.CancelledError:
        pass
    return hit


async def _cancel_trio(coroutine: Coroutine[Any, Any, Any], at: int, when: str) -> bool:
    import trio

    hit = False
    with trio.CancelScope() as scope:

        def at_suspension(number: int, _awaited: Any) -> None:
            nonlocal hit
            if number == at:
                hit = True
                scope.cancel()

        await _Counted(coroutine, at_suspension)
    return hit


async def cancel_at(face: Any, coroutine: Coroutine[Any, Any, Any], at: int, when: str = "waiting") -> bool:
    """Run `coroutine`, cancelling it at its `at`-th suspension; False when it ended before that."""
    cancel = _cancel_trio if face.name == "trio" else _cancel_asyncio
    return await cancel(coroutine, at, when)
