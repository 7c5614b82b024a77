"""Takes the measure: what one more request costs, as the slope between two run lengths, beside the bare floor.

Each run is a process of its own. Where `perf` can count, the cost is CPU instructions, user and kernel; else it is
CPU time, of runs of the floor and the library in turn (A B A B), as their ratio with its spread; with
`--callgrind` it is user instructions as valgrind counts them.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from .cases import Case
from .environment import ROOT, variables

Values = dict[str, float]

COSTS = {
    "perf": ("user_instructions", "kernel_instructions"),
    "callgrind": ("user_instructions",),
    "cpu": ("user_seconds", "kernel_seconds"),
}
SUMS = ("user_instructions", "kernel_instructions", "user_seconds", "kernel_seconds")
IMPORTS = {"floor": "asyncio, socket, ssl"}  # what a client of both kinds needs from the standard library
PATIENCE = {"perf": 4, "callgrind": 40, "cpu": 4}  # times its part, after which a library's case is given up
SLOWDOWN = 50  # how many times slower valgrind is, about: valgrind.org tells 10 to 50 and more


class Failed(Exception):
    """A run gave no figures; the message says why."""


class TooSlow(Failed):
    """A run did not end in its time."""


def slope(short: Values, long: Values, units: float) -> Values:
    """Tell what each of so many more units took: all that comes once has gone."""
    return {name: (long[name] - short[name]) / units for name in SUMS if name in short and name in long}


def cost(values: Values, counter: str) -> float | None:
    """Give the measure of a counter: the sum of its parts, as far as they were counted; None when not positive."""
    parts = [values[name] for name in COSTS[counter] if name in values]
    total = sum(parts)
    return total if parts and total > 0 else None


def spread(numbers: Iterable[float | None]) -> dict[str, float] | None:
    """Sum up the same figure of several rounds."""
    known = [number for number in numbers if number is not None]
    if not known:
        return None
    return {"median": statistics.median(known), "low": min(known), "high": max(known), "rounds": len(known)}


def parse_perf(text: str) -> Values:
    """Read `perf stat -x,`: value, unit, event, run time, percentage. What was not counted is left out.

    A machine with two kinds of cores has a line for each: cpu_core/instructions/u. They are summed.
    """
    found: Values = {}
    for line in text.splitlines():
        fields = line.split(",")
        if len(fields) < 3 or not fields[0].replace(".", "", 1).isdigit():
            continue  # "<not counted>", "<not supported>", or a comment
        event = re.fullmatch(r"(?:\w+/)?instructions[:/]([uk])/?", fields[2].strip())
        if event:
            name = "user_instructions" if event[1] == "u" else "kernel_instructions"
            found[name] = found.get(name, 0) + float(fields[0])
    return found


def parse_callgrind(text: str) -> Values:
    """Read what valgrind says at the end: `==123== Collected : 456`."""
    found = re.search(r"Collected\s*:\s*(\d+)", text)
    return {"user_instructions": float(found[1])} if found else {}


CALLGRIND = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]


@lru_cache
def perf_command() -> tuple[str, ...] | None:
    """Give the `perf` that counts instructions here, for this user; None when none does.

    Who may not look at the kernel (perf_event_paranoid) gets the user's instructions alone.
    """
    if not shutil.which("perf"):
        return None
    for events in ("instructions:u,instructions:k", "instructions:u"):
        command = ("perf", "stat", "-x,", "-e", events)
        answer = subprocess.run([*command, "--", "true"], capture_output=True, text=True, env=variables(), check=False)
        if len(parse_perf(answer.stderr)) == events.count(",") + 1:
            return command
    return None


def lengths(seconds_each: float, loop: float, case: Case) -> tuple[int, int]:
    """Choose two run lengths, of which the longer takes about `loop` seconds; no request of theirs is alone."""
    least = 1 if case.large else max(case.concurrency, 10)
    long = int(min(max(2 * least, loop / max(seconds_each, 1e-7)), 200_000))
    return max(least, long // 4), long


class Budget:
    """Divides the time, `total` seconds, among cases that need at least `needs` seconds together.

    Each has its part whatever the others do. What is kept back, and what the quick have left, is for the slow.
    """

    KEPT_BACK = 0.15

    def __init__(self, total: float, needs: float) -> None:
        self._reserve = total * self.KEPT_BACK
        self._rate = (total - self._reserve) / needs
        self._needs = needs

    def take(self, least: float, remaining: float) -> tuple[float, float]:
        """Give the next one's seconds, and how many more it may borrow, of what remains in all."""
        spare = max(0.0, remaining - self._rate * self._needs)
        more = max(0.0, spare - self._reserve) * least / self._needs
        self._needs -= least
        return self._rate * least + more, spare - more


class Bench:
    """Runs cases; `python_of` tells a library's interpreter, `deadline` is when all must be over (monotonic)."""

    def __init__(self, servers: Any, python_of: Any, counter: str, deadline: float | None = None) -> None:
        self.servers = servers
        self.counter = counter
        self._python_of = python_of
        self._deadline = self._until = deadline
        self._trials: dict[tuple[str, str], dict[str, Any]] = {}

    # One run

    def offers(self, library: str) -> dict[str, list[str]]:
        """Ask a library's module which classes it has, with which methods."""
        work = json.dumps({"library": library, "kind": "offers"})
        answer, _ = self._run([self._python_of(library), "-m", "benchmarks.worker", work], 60)
        return dict(self._read(answer))

    def sample(
        self, case: Case, library: str, count: int, *, short: int = 0, counted: bool = True, limit: float = 120
    ) -> dict[str, Any]:
        """Run one process and take its figures; "short" are those of a `short` run before, in the same process."""
        command = self._command(case, library, count, short)
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "perf"
            if counted and self.counter == "perf":
                command = [*(perf_command() or ()), "-o", str(output), "--", *command]
            if counted and self.counter == "callgrind":
                command = [*CALLGRIND, *command]
            answer, usage = self._run(command, limit)
            counts = parse_perf(output.read_text()) if output.exists() else {}
        if counted and self.counter == "callgrind":
            counts = parse_callgrind(answer.stderr)
        if case.kind == "import":
            return {**counts, **usage}
        return {**self._read(answer), **counts}

    def _read(self, answer: subprocess.CompletedProcess[str]) -> dict[str, Any]:
        try:
            values: dict[str, Any] = json.loads(answer.stdout)
        except ValueError:
            raise Failed((answer.stderr.strip().splitlines() or ["no answer"])[-1][:200]) from None
        if "error" in values:
            raise Failed(str(values["error"])[:200])
        return values

    def _command(self, case: Case, library: str, count: int, short: int) -> list[str]:
        python = self._python_of(library)
        if case.kind == "import":
            # No count of requests: a process that imports beside one that does not.
            return [python, "-c", f"import {IMPORTS.get(library, library)}" if count else "pass"]
        return [python, "-m", "benchmarks.worker", json.dumps(case.work(library, count, self.servers, short))]

    def _run(self, command: list[str], limit: float) -> tuple[subprocess.CompletedProcess[str], Values]:
        import resource

        if self._until is not None:
            limit = min(limit, self._until - time.monotonic())
        if limit <= 0:
            raise TooSlow("out of time")
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=variables(),
            cwd=ROOT,
            start_new_session=True,  # perf and valgrind end together with what they count
        ) as process:
            try:
                output, errors = process.communicate(timeout=limit)
            except BaseException as error:
                os.killpg(process.pid, signal.SIGKILL)
                if isinstance(error, subprocess.TimeoutExpired):
                    raise TooSlow(f"not done in {limit:.1f} s") from None
                raise
        answer = subprocess.CompletedProcess(command, process.returncode, output, errors)
        seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        return answer, {
            "user_seconds": after.ru_utime - before.ru_utime,
            "kernel_seconds": after.ru_stime - before.ru_stime,
            "seconds": seconds,
        }

    # One case with one library, beside the floor

    def pair(
        self, case: Case, library: str, seconds: float, rounds: int, borrow: float = math.inf
    ) -> tuple[list[Values], list[Values]]:
        """Measure the library and the floor in turn; gives the figures of one unit, of each round, of both.

        No round is begun after `seconds`, but for the first two: one alone has no spread. None is begun that would
        last beyond `PATIENCE` and what it may `borrow`; what then still runs is stopped.
        """
        start = time.monotonic()
        until = start + min(PATIENCE[self.counter] * seconds, seconds + borrow)
        self._until = min(until, self._deadline) if self._deadline else until
        names = dict.fromkeys((library, "floor"))
        found: dict[str, list[Values]] = {name: [] for name in names}
        try:
            plans = {name: self._plan(case, name, seconds / rounds) for name in names}
            for done in range(1, rounds + 1):
                begun = time.monotonic()
                for name, values in self._round(case, plans).items():
                    found[name].append(values)
                now = time.monotonic()
                if (now - start > seconds and done >= 2) or 2 * now - begun > self._until:
                    break
        except TooSlow:
            if not found[library]:
                raise Failed(f"no round was done in {time.monotonic() - start:.1f} s") from None
        except Failed:
            if not found[library]:
                raise
        finally:
            self._until = self._deadline
        return found[library], found["floor"]

    def _plan(self, case: Case, library: str, seconds: float) -> tuple[int, int]:
        if case.kind == "import":
            return 0, 1
        if case.waves:
            # Half a round each; connecting 10,000 takes longer than the server's second.
            turns = max(1, int((seconds - 1) / 2))
            return 0, min(case.waves, turns * case.concurrency)
        if case.large and self.counter == "cpu":
            return 0, 1  # whole: what comes once is nothing beside it
        least = 1 if case.large else max(case.concurrency, 10)
        key, begun = (case.name, library), time.monotonic()
        if key not in self._trials:
            self._trials[key] = self.sample(case, library, least, counted=False)
            if self.counter == "cpu" and time.monotonic() - begun > 2 * seconds:
                return 0, least  # so slow that its trial is the first round, and nothing beside it counts
        speed = self._trials[key]["seconds"] / least
        if self.counter == "callgrind":
            short, long = lengths(speed, 5 / SLOWDOWN, case)
            return short, min(long, short + 2000)
        # A round has two runs each of two libraries, and starting the processes takes half a second.
        return lengths(speed, min(max(0.05, (seconds - 0.5) / 2.5), 2), case)

    def _round(self, case: Case, plans: dict[str, tuple[int, int]]) -> dict[str, Values]:
        found = {}
        for name, (few, many) in plans.items():
            short, long = self._both(case, name, few, many)
            size = case.megabytes if case.large else 1
            found[name] = slope(short, long, (many - few) * size)
            if case.kind != "import":
                found[name]["per_second"] = many * size / long["seconds"]
            kept = ("peak", "over_idle", "resumed")
            found[name].update({field: long[field] for field in kept if field in long})
        return found

    def _both(self, case: Case, library: str, few: int, many: int) -> tuple[Values, Values]:
        """Make the shorter and the longer run; in one process, where that measures itself."""
        if not few and case.kind != "import":  # the whole run counts; when waiting, its connections too
            trial = self._trials.pop((case.name, library), None)
            return dict.fromkeys(SUMS, 0.0), trial or self.sample(case, library, many, limit=600)
        if self.counter == "cpu" and case.kind not in ("import", "client"):
            long = self.sample(case, library, many, short=few, limit=600)
            return long["short"], long
        return self.sample(case, library, few, limit=600), self.sample(case, library, many, limit=600)


def row(case: Case, library: str, own: list[Values], floor: list[Values], counter: str) -> dict[str, Any]:
    """Put the rounds of one library in one case together, for the report."""
    ratios = [
        mine / least
        for mine, least in ((cost(a, counter), cost(b, counter)) for a, b in zip(own, floor, strict=True))
        if mine is not None and least is not None
    ]
    cpu = [cost(values, "cpu") for values in own]
    found: dict[str, Any] = {
        "case": case.name,
        "group": case.group,
        "column": case.column,
        "library": library,
        "unit": "MB" if case.large else "request" if case.kind == "get" else "time",
        "ratio": spread(ratios) if library != "floor" else None,
        "cost": spread(cost(values, counter) for values in own),
        "cpu_seconds": spread(cpu),
        "per_second": spread(values.get("per_second") for values in own),
        "pace": spread(
            mine["per_second"] / least["per_second"]
            for mine, least in zip(own, floor, strict=True)
            if "per_second" in mine and "per_second" in least
        ),
    }
    for name in ("user_instructions", "kernel_instructions"):
        found[name] = spread(values.get(name) for values in own)
    for name in ("peak", "over_idle"):
        found[name] = max((values[name] for values in own if name in values), default=None)
    if any("resumed" in values for values in own):
        found["resumed"] = any(values.get("resumed") for values in own)
    if case.megabytes:
        size = 1 if case.large else case.megabytes
        found["megabytes_per_cpu_second"] = spread(size / seconds for seconds in cpu if seconds)
    if case.waves:
        found["in_flight"] = case.concurrency
    return found
