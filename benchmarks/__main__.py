"""`python -m benchmarks`: measures, and writes a JSON file and Markdown tables. See docs/performance.md."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

from . import report
from .cases import CASES, Case, choose
from .environment import LIBRARIES, prepare, python_of, variables, versions
from .measure import Bench, Budget, Failed, perf_command, row
from .servers import Servers

PART_MINUTES = 1.8  # a chosen part takes under two minutes, its environments aside
ROUND = 8.0  # times the least that a library's rounds of a case need: what it has without --minutes
ROUNDS = 3


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--case", action="append", default=[], help="a case, or how its name begins; may repeat")
    parser.add_argument("--lib", action="append", default=[], choices=LIBRARIES, help="a library; may repeat")
    parser.add_argument("--quick", action="store_true", help="the most telling cases only, in under two minutes")
    parser.add_argument("--minutes", type=float, help="end by then (a chosen part: 1.8; all: no end)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of A B A B, at most")
    parser.add_argument("--callgrind", action="store_true", help="count user instructions by valgrind")
    parser.add_argument("--own", action="store_true", help="use our own server even where nginx is installed")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="folder of the two files")
    parser.add_argument("--publish", type=Path, help="put the tables into this page, too")
    parser.add_argument("--from", dest="source", type=Path, help="render this JSON file instead of measuring")
    parser.add_argument("--list", action="store_true", help="list cases and libraries")
    return parser.parse_args()


def main() -> int:
    """Measure what was asked for."""
    chosen = options()
    if chosen.list:
        print("cases:", *CASES, "libraries:", *LIBRARIES, sep="\n  ")
        return 0
    if chosen.source:
        found = json.loads(chosen.source.read_text())
    else:
        try:
            found = measure(chosen)
        except ValueError as error:
            print(error, file=sys.stderr)
            return 2
    write(found, chosen)
    return 0


def write(found: dict[str, Any], chosen: argparse.Namespace) -> None:
    """Write the two files, and the page when there is one."""
    text = report.markdown(found)
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "results.json").write_text(json.dumps(found, indent=1) + "\n")
    (chosen.out / "results.md").write_text(text)
    if chosen.publish:
        report.publish(chosen.publish, text)
    print(text)
    print(f"written: {chosen.out}/results.json, {chosen.out}/results.md", file=sys.stderr)


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Prepare the environments, start the servers, and go through the cases."""
    cases = choose(chosen.case, quick=chosen.quick)
    libraries = [name for name in LIBRARIES if not chosen.lib or name in chosen.lib]
    missing = {name: why for name in dict.fromkeys(["servers", "floor", *libraries]) if (why := prepare(name))}
    for name, why in missing.items():
        print(f"{name} is left out: {why}", file=sys.stderr)
    for needed in ("servers", "floor"):
        if needed in missing:
            raise ValueError(f"cannot measure without the environment of {needed}")
    libraries = [name for name in libraries if name not in missing]
    counter = "callgrind" if chosen.callgrind else "perf" if perf_command() else "cpu"
    part = chosen.quick or chosen.case or chosen.lib
    minutes = chosen.minutes or (PART_MINUTES if part else None)
    deadline = time.monotonic() + minutes * 60 if minutes else None
    with Servers(python_of("servers"), variables(), own=chosen.own) as servers:
        bench = Bench(servers, python_of, counter, deadline)
        rows, failed = run(bench, cases, libraries, deadline, chosen.rounds)
        kind = servers.kind
    return report.document(
        rows,
        counter=counter,
        server=kind,
        versions={name: versions(python_of(name)) for name in ["servers", "floor", *libraries]},
        missing=missing,
        failed=failed,
        options={"quick": chosen.quick, "minutes": minutes, "rounds": chosen.rounds},
    )


def run(
    bench: Bench, cases: list[Case], libraries: list[str], deadline: float | None, rounds: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Measure each library beside the floor in each case; gives the rows, and what gave none."""
    if not bench.servers.has_http2 and any(case.http2 for case in cases):
        print("HTTP/2 is left out: it needs nginx", file=sys.stderr)
        cases = [case for case in cases if not case.http2]
    rows: list[dict[str, Any]] = []
    offered, failed = offers(bench, libraries)
    plan = {case: [library for library in offered if case.is_offered(offered[library])] for case in cases}
    remaining = deadline - time.monotonic() if deadline else math.inf
    budget = Budget(remaining, sum(case.least * len(able) for case, able in plan.items())) if deadline else None
    for case, able in plan.items():
        floors = []
        for library in able:
            seconds, borrow = ROUND * case.least, math.inf
            if deadline and budget:
                seconds, borrow = budget.take(case.least, deadline - time.monotonic())
            turns = 1 if bench.counter == "callgrind" else max(1, min(rounds, round(seconds / case.least)))
            print(f"{case.name}: {library}", file=sys.stderr, flush=True)
            try:
                own, floor = bench.pair(case, library, seconds, turns, borrow)
            except Failed as error:
                failed.append({"case": case.name, "library": library, "why": str(error)})
                continue
            floors += floor
            if library != "floor":
                rows.append(row(case, library, own, floor, bench.counter))
        if floors:
            rows.append(row(case, "floor", floors, floors, bench.counter))
    return rows, failed


def offers(bench: Bench, libraries: list[str]) -> tuple[dict[str, dict[str, list[str]]], list[dict[str, Any]]]:
    """Ask each library what it can do, so that no time is kept for what it cannot; gives whose module failed, too."""
    found, failed = {}, []
    for library in [name for name in libraries if name != "floor"] or ["floor"]:
        try:
            found[library] = bench.offers(library)
        except Failed as error:
            failed.append({"case": "all", "library": library, "why": str(error)})
    return found, failed


if __name__ == "__main__":
    sys.exit(main())
