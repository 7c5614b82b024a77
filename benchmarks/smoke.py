"""A minute's check that the core has not become slower: `python -m benchmarks.smoke`.

Counts instructions per request of the core cases, beside the bare floor's, and fails where they have grown by more
than 10 % over the committed figures in baseline.json. Python itself takes more or fewer instructions from build to
build, and the floor is Python as well: the committed figure is scaled by what the floor takes here. `perf` counts
where it can (user and kernel), else valgrind (user). Where neither does, or no figure is committed for such a
machine, it is skipped with a message. `--update` writes this machine's figures.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from .cases import CASES, Case
from .environment import variables
from .measure import COSTS, Bench, Failed, cost, perf_command, slope
from .servers import Servers

BASELINE = Path(__file__).with_name("baseline.json")
CORE = ("json-sync", "json-asyncio-50", "json-uvloop-50", "http2-json-asyncio-50")
LENGTHS = {"perf": (2000, 10_000), "callgrind": (500, 2500)}
GROWTH = 1.10  # that is still accepted

Figures = dict[str, dict[str, float]]


def machine(counter: str) -> str:
    """Name what the figures depend on."""
    version = ".".join(platform.python_version_tuple()[:2])
    return f"{counter}, {platform.python_implementation()} {version}, {platform.machine()}"


def count(bench: Bench, case: Case, library: str) -> float:
    """Count the instructions of one more request."""
    few, many = LENGTHS[bench.counter]
    short, long = (bench.sample(case, library, length) for length in (few, many))
    found = cost(slope(short, long, many - few), bench.counter)
    if found is None:
        raise Failed(f"{bench.counter} counted none of {', '.join(COSTS[bench.counter])}")
    return found


def compare(name: str, now: dict[str, float], committed: dict[str, float]) -> tuple[bool, str]:
    """Hold a case's figures against the committed ones; tells whether it passes, and a line about it."""
    expected = committed["hither"] * now["floor"] / committed["floor"]
    ratio = now["hither"] / expected
    passes = ratio <= GROWTH
    verdict = "" if passes else f": more than {GROWTH - 1:.0%} over the committed figure"
    return passes, (
        f"{name}: {now['hither'] / 1000:.1f} thousand instructions a request, "
        f"expected {expected / 1000:.1f} ({ratio - 1:+.1%}); floor {now['floor'] / 1000:.1f}{verdict}"
    )


def measure(counter: str) -> Figures:
    """Take the figures of all core cases, with this interpreter and our own server; HTTP/2's with nginx, if it is here."""
    with Servers(sys.executable, variables()) as servers:
        bench = Bench(servers, lambda library: sys.executable, counter)
        cases = {name: CASES[name] if CASES[name].http2 else replace(CASES[name], server="own") for name in CORE}
        names = [
            name
            for name, case in cases.items()
            if (case.runner != "uvloop" or find_spec("uvloop")) and (not case.http2 or servers.has_http2)
        ]
        work = [(name, library) for name in names for library in ("floor", "hither")]
        for name, library in work[:2]:
            bench.sample(cases[name], library, 10, counted=False)  # compiles what was never imported before
        # The user's instructions are the same however busy the machine is: two may run at once.
        with ThreadPoolExecutor(2 if counter == "callgrind" else 1) as threads:
            counts = list(threads.map(lambda item: count(bench, cases[item[0]], item[1]), work))
    found: Figures = {name: {} for name in names}
    for (name, library), instructions in zip(work, counts, strict=True):
        found[name][library] = instructions
    return found


def main() -> int:
    """Run it; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.smoke", description=__doc__)
    parser.add_argument("--update", action="store_true", help="write this machine's figures into baseline.json")
    update = parser.parse_args().update
    counter = "perf" if perf_command() else "callgrind" if shutil.which("valgrind") else None
    if counter is None:
        print("skipped: neither perf nor valgrind counts instructions here")
        return 0
    baseline: dict[str, Figures] = json.loads(BASELINE.read_text())
    key = machine(counter)
    if key not in baseline and not update:
        print(f"skipped: no figures are committed for {key}; add them with --update")
        return 0
    now = measure(counter)
    if update:
        rounded = {name: {library: round(n) for library, n in row.items()} for name, row in now.items()}
        BASELINE.write_text(json.dumps({**baseline, key: rounded}, indent=2) + "\n")
    committed = baseline.get(key, now)
    results = [
        compare(name, now[name], committed[name])
        if name in committed
        else (True, f"{name}: skipped: no figure is committed for it; add it with --update")
        for name in now
    ]
    print(key, *(line for _, line in results), sep="\n")
    return 0 if update or all(passes for passes, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main())
