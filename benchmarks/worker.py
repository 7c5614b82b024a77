"""The measured process: runs one case with one library so many times, and says what that took as a line of JSON."""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import resource
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any


NOT_OFFERED = "not offered"  # by the library: no such client, or no such method


class Wrong(Exception):
    """The library cannot do it, or gave another answer than the server's."""


def run(work: dict[str, Any]) -> dict[str, Any]:
    """Do the work that `cases.Case.work` describes."""
    raise_file_limit()
    module = importlib.import_module(f"benchmarks.clients.{work['library']}")
    if work["kind"] == "client":
        return asyncio.run(_run_clients(module, work))
    client_class = _client_class(module, work)
    if work["runner"] in ("sync", "threads"):
        return _run_sync(client_class, work)
    if work["runner"] == "uvloop":
        import uvloop

        return uvloop.run(_run_async(client_class, work))
    return asyncio.run(_run_async(client_class, work))


def raise_file_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Meter:
    """Takes the time, the CPU time and the memory between `start` and `stop`."""

    def start(self) -> None:
        gc.collect()
        self._idle = _reset_peak()
        self._usage = resource.getrusage(resource.RUSAGE_SELF)
        self._time = time.perf_counter()

    def stop(self) -> dict[str, float]:
        seconds = time.perf_counter() - self._time
        usage = resource.getrusage(resource.RUSAGE_SELF)
        peak = _memory("VmHWM")
        return {
            "seconds": seconds,
            "user_seconds": usage.ru_utime - self._usage.ru_utime,
            "kernel_seconds": usage.ru_stime - self._usage.ru_stime,
            "peak": peak,
            "over_idle": max(0, peak - self._idle),
        }


def _memory(field: str) -> int:
    """Bytes by /proc/self/status. (`ru_maxrss` would count the parent's as well, from before `exec`.)"""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def _reset_peak() -> int:
    try:
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts anew: proc(5)
    except OSError:
        pass
    return _memory("VmRSS")


def _arguments(work: dict[str, Any]) -> list[str]:
    return [work["url"], work["file"]] if work["kind"] in ("upload", "multipart") else [work["url"]]


def _check(work: dict[str, Any], answer: Any) -> None:
    """Compare a body with what the case expects: its size, or a part of it."""
    expected = work["expect"]
    if isinstance(expected, int):
        size = answer if isinstance(answer, int) else len(answer)
        if size != expected:
            raise Wrong(f"{size} bytes instead of {expected}")
    elif expected.encode() not in bytes(answer):
        raise Wrong(f"{bytes(answer)[:100]!r} has no {expected!r}")


def _note(work: dict[str, Any], answer: Any) -> dict[str, bool]:
    if not work["url"].endswith("/closing"):
        return {}
    return {"resumed": b'"r"' in bytes(answer)}


def _run_sync(client_class: type, work: dict[str, Any]) -> dict[str, Any]:
    client = client_class(work["authority"], work["concurrency"])
    call, arguments = getattr(client, work["kind"]), _arguments(work)
    last: list[Any] = [None]

    def loop(turns: Any) -> None:
        answer = None
        for _ in turns:
            answer = call(*arguments)
        last[0] = answer if answer is not None else last[0]

    def go(count: int) -> None:
        turns = iter(range(count))  # shared: each turn is taken by one thread
        if work["runner"] == "sync":
            return loop(turns)
        threads = [threading.Thread(target=loop, args=(turns,)) for _ in range(work["concurrency"])]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return None

    for _ in range(2):
        client.get(work["warm_url"])
    if work["warm_up"]:
        go(work["warm_up"])
    meter = Meter()
    meter.start()
    go(work["count"])
    result = meter.stop()
    _check(work, last[0])
    client.close()
    return {**result, **_note(work, last[0])}


async def _run_async(client_class: type, work: dict[str, Any]) -> dict[str, Any]:
    client = client_class(work["authority"], work["concurrency"])
    call: Callable[..., Awaitable[Any]] = getattr(client, work["kind"])
    arguments = _arguments(work)
    last: list[Any] = [None]

    async def loop(turns: Any) -> None:
        answer = None
        for _ in turns:
            answer = await call(*arguments)
        last[0] = answer if answer is not None else last[0]

    async def go(count: int) -> None:
        turns = iter(range(count))
        await asyncio.gather(*(loop(turns) for _ in range(work["concurrency"])))

    for _ in range(2):
        await client.get(work["warm_url"])
    if work["warm_up"]:
        await go(work["warm_up"])
    meter = Meter()
    meter.start()
    await go(work["count"])
    result = meter.stop()
    _check(work, last[0])
    await client.close()
    return {**result, **_note(work, last[0])}


async def _run_clients(module: Any, work: dict[str, Any]) -> dict[str, Any]:
    """Make and close clients; the first, which imports the rest of the library, is not counted."""
    make = getattr(module, "make_client", None) or partial(_client_class(module, work), None, 100)

    async def go(count: int) -> None:
        for _ in range(count):
            closed = make().close()
            if closed is not None:
                await closed

    await go(1)
    meter = Meter()
    meter.start()
    await go(work["count"])
    return meter.stop()


def _client_class(module: Any, work: dict[str, Any]) -> type:
    found: type | None = getattr(module, "Sync" if work["runner"] in ("sync", "threads") else "Async", None)
    if found is None or (work["kind"] != "client" and not hasattr(found, work["kind"])):
        raise Wrong(NOT_OFFERED)
    return found


def main() -> None:
    try:
        answer = run(json.loads(sys.argv[1]))
    except Exception as error:
        answer = {"error": str(error) if isinstance(error, Wrong) else f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
