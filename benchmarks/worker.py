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


WARM = 2  # requests before all others


class Wrong(Exception):
    """The library cannot do it, or gave another answer than the server's."""


def run(work: dict[str, Any]) -> dict[str, Any]:
    """Do the work that `cases.Case.work` describes."""
    raise_file_limit()
    module = importlib.import_module(f"benchmarks.clients.{work['library']}")
    if work["kind"] == "offers":
        return offers(module)
    if work["kind"] == "client":
        return asyncio.run(_run_clients(module, work))
    client_class = getattr(module, work["client"])
    if work["runner"] in ("sync", "threads"):
        return _run_sync(client_class, work)
    if work["runner"] == "uvloop":
        import uvloop

        return uvloop.run(_run_async(client_class, work))
    return asyncio.run(_run_async(client_class, work))


def offers(module: Any) -> dict[str, list[str]]:
    """Tell which classes a library has here, and what each can do."""
    classes = [name for name in ("Sync", "Async", "SyncHTTP2", "AsyncHTTP2") if hasattr(module, name)]
    kinds = ("get", "download", "upload", "multipart")
    return {name: [kind for kind in kinds if hasattr(getattr(module, name), kind)] for name in classes}


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


def _check_http2(work: dict[str, Any], first: Any, last: Any) -> None:
    """See by the server's own words that all went over HTTP/2, and over one connection.

    `first` is its answer to the first request, `last` to the very last one; it counts those of a connection.
    """
    if b'"HTTP/2' not in bytes(first):
        raise Wrong(f"not over HTTP/2: {bytes(first)[:100]!r}")
    made, counted = WARM + work["warm_up"] + work["short"] + work["count"] + 1, json.loads(bytes(last))["requests"]
    if counted != made:
        raise Wrong(f"one connection was used for {counted} of {made} requests")


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

    first, *_ = [client.get(work["warm_url"]) for _ in range(WARM)]
    if work["warm_up"]:
        go(work["warm_up"])
    meter = Meter()
    short = None
    if work["short"]:
        meter.start()
        go(work["short"])
        short = meter.stop()
    meter.start()
    go(work["count"])
    result = {**meter.stop(), "short": short}
    _check(work, last[0])
    if work["http2"]:
        _check_http2(work, first, client.get(work["warm_url"]))
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

    first, *_ = [await client.get(work["warm_url"]) for _ in range(WARM)]
    if work["warm_up"]:
        await go(work["warm_up"])
    meter = Meter()
    short = None
    if work["short"]:
        meter.start()
        await go(work["short"])
        short = meter.stop()
    meter.start()
    await go(work["count"])
    result = {**meter.stop(), "short": short}
    _check(work, last[0])
    if work["http2"]:
        _check_http2(work, first, await client.get(work["warm_url"]))
    await client.close()
    return {**result, **_note(work, last[0])}


async def _run_clients(module: Any, work: dict[str, Any]) -> dict[str, Any]:
    """Make and close clients; the first, which imports the rest of the library, is not counted."""
    make = getattr(module, "make_client", None) or partial(getattr(module, work["client"]), None, 100)

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


def main() -> None:
    try:
        answer = run(json.loads(sys.argv[1]))
    except Exception as error:
        answer = {"error": str(error) if isinstance(error, Wrong) else f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
