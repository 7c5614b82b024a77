"""A task beside the caller's, under asyncio or trio: an application that runs while its answer is read.

The client itself starts no tasks. Whoever starts one here also ends it: `cancel`, then `join`.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from time import monotonic
from typing import TYPE_CHECKING, Any

from .running import running_loop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import trio

    from .base import Parker


class Task(ABC):
    """A function that runs beside its starter; `ended` and `error` tell what became of it."""

    def __init__(self, at_end: Callable[[], None]) -> None:
        self.ended = False
        self.error: BaseException | None = None
        self._at_end = at_end

    def _end(self) -> None:
        self.ended = True
        self._at_end()

    @abstractmethod
    def cancel(self) -> None:
        """Have the function cancelled where it waits."""

    @abstractmethod
    async def join(self) -> None:
        """Wait until the function has ended, also when the caller is being cancelled."""


class Tasks(ABC):
    """How tasks are started, and wait for each other, in one event loop."""

    def __init__(self, loop: Any) -> None:
        self.loop = loop

    @abstractmethod
    def start(self, function: Callable[[], Awaitable[None]], at_end: Callable[[], None]) -> Task:
        """Run a function from the loop's next turn on; `at_end` is called when it has ended in any way."""

    @abstractmethod
    async def turn(self) -> None:
        """Let the other tasks run."""

    @abstractmethod
    def parker(self) -> Parker:
        """Make a place for one waiter."""


class Bell:
    """Wakes all who wait for something to change; each then looks whether that was it."""

    __slots__ = ("_parker", "_waiting")

    def __init__(self, tasks: Tasks) -> None:
        self._parker = tasks.parker
        self._waiting: list[Parker] = []

    def ring(self) -> None:
        """Wake everybody."""
        waiting, self._waiting = self._waiting, []
        for parker in waiting:
            parker.wake()

    async def wait(self, timeout: float | None) -> None:
        """Wait for the next ring, or `timeout` seconds."""
        parker = self._parker()
        self._waiting.append(parker)
        try:
            await parker.wait(timeout)
        finally:
            if parker in self._waiting:
                self._waiting.remove(parker)

    async def until(self, happened: Callable[[], bool], timeout: float | None = None) -> bool:
        """Wait until `happened()`; False when `timeout` seconds went by first."""
        end = None if timeout is None else monotonic() + timeout
        while not happened():
            left = None if end is None else end - monotonic()
            if left is not None and left <= 0:
                return False
            await self.wait(left)
        return True


def tasks_here() -> Tasks:
    """Return the tasks of the event loop that runs; `RuntimeError` when none runs."""
    loop = running_loop()
    return AsyncioTasks(loop) if isinstance(loop, asyncio.AbstractEventLoop) else TrioTasks(loop)


class AsyncioTask(Task):
    """A task of asyncio."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        function: Callable[[], Awaitable[None]],
        at_end: Callable[[], None],
    ) -> None:
        super().__init__(at_end)
        self._task = loop.create_task(self._run(function))
        # Not at the end of `_run`: a task that is cancelled before its first step never gets there.
        self._task.add_done_callback(lambda _task: self._end())

    async def _run(self, function: Callable[[], Awaitable[None]]) -> None:
        try:
            await function()
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - whoever reads `error` raises it
            self.error = error

    def cancel(self) -> None:
        self._task.cancel()

    async def join(self) -> None:
        # Unlike the task itself, this is not cancelled again by a cancellation that came before.
        if not self._task.done():
            await asyncio.wait([self._task])


class AsyncioTasks(Tasks):
    """Tasks under asyncio."""

    def start(self, function: Callable[[], Awaitable[None]], at_end: Callable[[], None]) -> Task:
        return AsyncioTask(self.loop, function, at_end)

    async def turn(self) -> None:
        await asyncio.sleep(0)

    def parker(self) -> Parker:
        from .asyncio import AsyncioParker

        return AsyncioParker(self.loop)


class TrioTask(Task):
    """A system task of trio, which may outlive the nursery that its starter is in."""

    _scope: trio.CancelScope

    def __init__(self, function: Callable[[], Awaitable[None]], at_end: Callable[[], None]) -> None:
        from contextvars import copy_context

        import trio

        super().__init__(at_end)
        self._scope = trio.CancelScope()
        self._done = trio.Event()
        trio.lowlevel.spawn_system_task(self._run, function, context=copy_context())

    async def _run(self, function: Callable[[], Awaitable[None]]) -> None:
        import trio

        try:
            with self._scope:
                await function()
        except trio.Cancelled:
            raise  # the whole run ends
        except BaseException as error:  # noqa: BLE001 - whoever reads `error` raises it
            self.error = error
        finally:
            self._done.set()
            self._end()

    def cancel(self) -> None:
        self._scope.cancel()

    async def join(self) -> None:
        import trio

        with trio.CancelScope(shield=True):
            await self._done.wait()


class TrioTasks(Tasks):
    """Tasks under trio."""

    def start(self, function: Callable[[], Awaitable[None]], at_end: Callable[[], None]) -> Task:
        return TrioTask(function, at_end)

    async def turn(self) -> None:
        import trio

        await trio.lowlevel.checkpoint()

    def parker(self) -> Parker:
        from .trio import TrioParker

        return TrioParker()
