"""The lifespan of an ASGI application: started before its first request, shut down with its transport.

starting ─ startup.complete ─► running ─ aclose ─► stopping ─ shutdown.complete ─► (ended)
   └─ startup.failed or an exception ─► failed ◄─ shutdown.failed or an exception ─┘
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._errors import CloseError, ConnectError, ReadTimeout

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._options import Deadline, Timeout
    from ..net.tasks import Bell, Task, Tasks


class Lifespan:
    """One application's lifespan in one event loop; `state` is what it shares with its requests."""

    def __init__(self, app: Callable[..., Any], tasks: Tasks, *, raise_app_exceptions: bool) -> None:
        from ..net.tasks import Bell

        self.state: dict[str, Any] = {}
        self._app = app
        self._raise = raise_app_exceptions
        self._bell: Bell = Bell(tasks)
        self._received: str | None = None  # what the application was told last
        self._started = False
        self._stopping = False
        self._stopped = False
        self._failure: str | None = None
        self._task: Task = tasks.start(self._run, self._bell.ring)

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        await self._app(scope, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        if self._received is None:
            self._received = "startup"
            return {"type": "lifespan.startup"}
        await self._bell.until(lambda: self._stopping and self._received == "startup")
        self._received = "shutdown"
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "lifespan.startup.complete":
            self._started = True
        elif kind == "lifespan.shutdown.complete":
            self._stopped = True
        elif kind in ("lifespan.startup.failed", "lifespan.shutdown.failed"):
            self._failure = message.get("message", "")
        else:
            raise RuntimeError(f"the application sent {kind!r} in its lifespan")
        self._bell.ring()

    @property
    def failed(self) -> bool:
        """Whether the application said so, or raised."""
        return self._failure is not None or self._task.error is not None

    async def startup(self, deadline: Deadline | Timeout) -> None:
        """Wait until the application has started; `ConnectError`, or its own exception, when it does not.

        One that returns and says nothing has no lifespan, and is as good as started.
        """
        try:
            if not await self._bell.until(lambda: self._started or self._over, deadline.read):
                raise TimeoutError
        except TimeoutError:
            raise deadline.expired(ReadTimeout, "read", "waiting for the application to start") from None
        if self.failed:
            self._raise_failure(ConnectError, "the application did not start")

    @property
    def _over(self) -> bool:
        return self._task.ended or self._failure is not None

    async def shutdown(self) -> None:
        """Stop the application; `CloseError`, or its own exception, when that fails."""
        failed_before = self.failed
        self._stopping = True
        self._bell.ring()
        try:
            if self._started and not failed_before:
                await self._bell.until(lambda: self._stopped or self._over)
        finally:
            if not self._stopped:
                self._task.cancel()
            await self._task.join()
        if self.failed and not failed_before:
            self._raise_failure(CloseError, "the application did not shut down in order")

    def _raise_failure(self, kind: type[ConnectError | CloseError], message: str) -> None:
        error = self._task.error
        if error is not None and self._failure is None and self._raise:
            raise error
        self._task.cancel()
        raise kind(f"{message}: {self._failure}" if self._failure else message) from error
