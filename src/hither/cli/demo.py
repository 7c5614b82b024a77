"""`hither demo`: a tour of the library against a real server in this process."""

from __future__ import annotations

import argparse
import asyncio
import inspect
import os
import sys
from time import perf_counter
from typing import TYPE_CHECKING, TextIO

import hither

from .demo_server import DemoServer
from .demo_steps import STEPS, Step, Tour
from .escaping import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence


def run_demo(argv: Sequence[str], steps: Sequence[Step] = STEPS) -> int:
    """Run the steps and show them; return 0 when all went well, 1 when one failed."""
    parser = argparse.ArgumentParser(prog="hither demo", description=__doc__)
    parser.parse_args(argv)
    paper = Paper(sys.stdout)
    with DemoServer() as server:
        paper.title(f"hither {hither.__version__}", f"a tour, against a real server at {server.url}")
        with hither.Client(base_url=server.url, timeout=20, trust_env=False) as client:
            tour = Tour(server, client, paper.progress)
            started = perf_counter()
            failed = sum(not _stop(tour, step, number, paper) for number, step in enumerate(steps, 1))
            seconds = perf_counter() - started
    paper.summary(len(steps), failed, seconds)
    return 1 if failed else 0


def _stop(tour: Tour, step: Step, number: int, paper: Paper) -> bool:
    """Run one step and show it; tell whether it went well."""
    paper.code(number, step)
    started = perf_counter()
    try:
        result = step.run(tour)
        if inspect.iscoroutine(result):
            result = asyncio.run(result)
    except Exception as error:  # noqa: BLE001 # whatever it is, the step has failed and the tour goes on
        paper.result(f"{type(error).__name__}: {error}", perf_counter() - started, ok=False)
        return False
    paper.result(result, perf_counter() - started, ok=True)
    return True


class Paper:
    """Where the tour is written: in colour on a terminal, plain elsewhere."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._live = out.isatty() and os.environ.get("TERM") != "dumb"
        self._colour = self._live and not os.environ.get("NO_COLOR") and _speaks_ansi()
        encoding = out.encoding or "ascii"
        self._good, self._bad = ("✓", "✗") if _has(encoding, "✓✗") else ("ok", "FAILED")
        self._block, self._rest = ("█", "░") if _has(encoding, "█░") else ("#", ".")

    def title(self, name: str, text: str) -> None:
        """Write what this is."""
        self._say(f"{self._in('1', name)}  {text}\n")

    def code(self, number: int, step: Step) -> None:
        """Write what the step is about to do."""
        self._say(f"{self._in('2', f'{number:>2}')}  {self._in('1', step.title)}")
        self._say(f"    {self._in('36', step.code)}")

    def progress(self, done: float) -> None:
        """Draw how much is done, from 0 to 1, on one line of a terminal."""
        if self._live:
            full = round(done * 40)
            self._out.write(f"\r    {self._block * full}{self._rest * (40 - full)} {done:4.0%}")
            self._out.flush()

    def result(self, text: str, seconds: float, *, ok: bool) -> None:
        """Write how the step went, in the place of its progress."""
        if self._live:
            self._out.write("\r" + " " * 50 + "\r")
        mark = self._in("32", self._good) if ok else self._in("1;31", self._bad)
        took = self._in("2", f"{seconds * 1000:7.1f} ms")
        self._say(f"    {mark} {took}  {one_line(text, self._out)}\n")

    def summary(self, steps: int, failed: int, seconds: float) -> None:
        """Write how it all went."""
        if failed:
            self._say(self._in("1;31", f"{failed} of {steps} steps failed") + f", in {seconds:.2f} s")
        else:
            self._say(self._in("1;32", f"{steps} steps, all well") + f", in {seconds:.2f} s")

    def _in(self, style: str, text: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if self._colour else text

    def _say(self, line: str) -> None:
        self._out.write(line + "\n")
        self._out.flush()


def _has(encoding: str, text: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _speaks_ansi() -> bool:
    return os.name != "nt" or "WT_SESSION" in os.environ  # old Windows consoles show the codes
