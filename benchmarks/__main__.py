"""`python -m benchmarks`: measures, and writes a JSON file and Markdown tables. See docs/performance.md."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from . import report
from .cases import CASES, Case, choose
from .environment import LIBRARIES, prepare, python_of, variables, versions
from .measure import Bench, Failed, perf_command, row
from .servers import Servers
from .worker import NOT_OFFERED

PART_MINUTES = 1.8  # a chosen part takes under two minutes, its environments aside
SECONDS = 7.0  # for each library in each case of a whole run
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
    rows, failed = [], []
    others = [name for name in libraries if name != "floor"] or ["floor"]
    left = len(cases) * len(others)
    for case in cases:
        floors = []
        for library in others:
            # What earlier ones did not use is for the later ones.
            seconds = (deadline - time.monotonic()) / left if deadline else SECONDS
            left -= 1
            least = 3.0 if case.waves else 0.9  # seconds, for a round of four short runs
            turns = 1 if bench.counter == "callgrind" else max(1, min(rounds, int(seconds / least)))
            if case.waves and not deadline:
                seconds, turns = 80.0, 2
            print(f"{case.name}: {library}", file=sys.stderr, flush=True)
            try:
                own, floor = bench.pair(case, library, seconds, turns)
            except Failed as error:
                if str(error) != NOT_OFFERED:
                    failed.append({"case": case.name, "library": library, "why": str(error)})
                continue
            floors += floor
            if library != "floor":
                rows.append(row(case, library, own, floor, bench.counter))
        if floors:
            rows.append(row(case, "floor", floors, floors, bench.counter))
    return rows, failed


if __name__ == "__main__":
    sys.exit(main())
