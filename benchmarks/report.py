"""Makes the report: a JSON file with everything, and Markdown tables of it."""

from __future__ import annotations

import datetime
import math
import os
import platform
import ssl
from pathlib import Path
from typing import Any

MARKS = ("<!-- tables -->", "<!-- /tables -->")
DAY = 1_000_000  # pages
A_SECOND = DAY / 86_400  # pages
FEW = 100  # in flight
COMPARED = ("hither", "httpx", "aiohttp")  # ours, and the two that have been compared in public, in this group
COMPARED_IN = "Small JSON over keep-alive, asyncio, by concurrency"
MEASURES = {
    "perf": "CPU instructions, user and kernel",
    "callgrind": "user CPU instructions by callgrind (the kernel's are not in it)",
    "cpu": "CPU time, user and kernel",
}


def machine() -> dict[str, Any]:
    """Describe the machine."""
    model = platform.processor() or "unknown"
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "openssl": " ".join(ssl.OPENSSL_VERSION.split()[:2]),
    }


def document(rows: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """Put the report together; `more` has counter, server, versions, failed, missing and options."""
    now = datetime.datetime.now(datetime.UTC)
    return {"date": now.isoformat(timespec="seconds"), "machine": machine(), **more, "rows": rows}


def markdown(report: dict[str, Any]) -> str:
    """Render all tables."""
    parts = [_introduction(report)]
    groups = dict.fromkeys(row["group"] for row in report["rows"])
    for group in groups:
        rows = [row for row in report["rows"] if row["group"] == group]
        parts += [f"### {group}", _costs(rows, report["counter"])]
        if report["counter"] != "callgrind":  # under which neither time nor memory is the library's own
            parts += [_beside(rows), _resumed(rows)]
    if report["counter"] != "callgrind":
        parts += [_compared(report["rows"]), _million(report["rows"]), _day(report["rows"])]
    parts.append(_failures(report))
    return "\n\n".join(part for part in parts if part) + "\n"


def publish(path: Path, text: str) -> None:
    """Put the tables between the two marks of a page."""
    page = path.read_text()
    before, start, rest = page.partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not start or not end:
        raise ValueError(f"{path} has no {MARKS[0]} … {MARKS[1]}")
    path.write_text(f"{before}{start}\n\n{text}\n{end}{after}")


def _introduction(report: dict[str, Any]) -> str:
    at = report["machine"]
    versions = ", ".join(
        f"{name} {found.get(name, found.get(name.replace('_', '-'), 'checkout'))}"
        for name, found in report["versions"].items()
        if name not in ("floor", "servers")
    )
    measure = MEASURES[report["counter"]]
    if report["counter"] == "perf" and not any(row["kernel_instructions"] for row in report["rows"]):
        measure = "CPU instructions, the user's only (this user may not count the kernel's)"
    return "\n".join(
        [
            f"- Measured {report['date'][:10]}: {measure}, "
            "as the slope between two run lengths; in multiples of the bare floor (lowest–highest round; ≈ of one round only).",
            f"- Machine: {at['processor']}, {at['cores']} cores, {at['system']}, {at['architecture']}; "
            f"{at['python']}{', ' + at['openssl'] if 'openssl' in at else ''}.",
            f"- Server: {report['server']}, on the same machine. Libraries: {versions}.",
        ]
    )


def table(columns: list[str], lines: list[list[str]]) -> str:
    """Render one Markdown table; the first column is text, the others are figures."""
    head = f"| {' | '.join(columns)} |"
    rule = "|" + "|".join(["---", *["--:"] * (len(columns) - 1)]) + "|"
    return "\n".join([head, rule, *(f"| {' | '.join(line)} |" for line in lines)])


def _grid(rows: list[dict[str, Any]], cell: Any) -> str:
    columns = list(dict.fromkeys(row["column"] for row in rows))
    found = {(row["library"], row["column"]): row for row in rows}
    lines = []
    for library in _order(rows):
        cells = [found.get((library, column)) for column in columns]
        lines.append([library, *("–" if row is None else cell(row) for row in cells)])
    return table(["", *columns], lines)


def _order(rows: list[dict[str, Any]]) -> list[str]:
    """The floor first, then from the cheapest to the dearest in the group's first case that has figures."""
    libraries = list(dict.fromkeys(row["library"] for row in rows))

    def dear(library: str) -> tuple[float, ...]:
        if library == "floor":
            return (-1.0,)
        ratios = [row["ratio"]["median"] for row in rows if row["library"] == library and row["ratio"]]
        return (sum(ratios) / len(ratios) if ratios else float("inf"),)

    return sorted(libraries, key=dear)


def _costs(rows: list[dict[str, Any]], counter: str) -> str:
    def cell(row: dict[str, Any]) -> str:
        if row["library"] == "floor":
            return "1" if counter == "cpu" else _thousands(row["cost"])
        if row["ratio"] is None:
            return "–"
        if counter == "cpu":
            return between(row["ratio"], "×")
        return f"{_thousands(row['cost'])} ({_short(row['ratio']['median'])}×)"

    unit = "" if rows[0]["unit"] == "time" else f" of each {rows[0]['unit']}"
    title = f"Cost{unit}" if counter == "cpu" else f"Thousands of instructions{unit}"
    return f"{title}, beside the bare floor's:\n\n{_grid(rows, cell)}"


def _beside(rows: list[dict[str, Any]]) -> str:
    def cell(row: dict[str, Any]) -> str:
        parts = []
        if row.get("megabytes_per_cpu_second"):
            parts.append(between(row["megabytes_per_cpu_second"], " MB/CPU s"))
        elif row["per_second"] and row["unit"] == "request":
            parts.append(between(row["per_second"], "/s"))
        if row.get("in_flight") and row["over_idle"]:
            each = row["over_idle"] / 1024 / row["in_flight"]
            parts.append(f"{_short(row['over_idle'] / 1024**2)} MB ({each:,.1f} kB each)")
        elif row["peak"]:
            parts.append(f"{row['peak'] / 1024**2:,.0f} MB")
        return ", ".join(parts) or "–"

    if rows[0]["unit"] == "time":
        return ""
    memory = "memory above idle at the peak" if rows[0].get("in_flight") else "peak memory of the process"
    speed = "MB per second of CPU time" if rows[0].get("megabytes_per_cpu_second") else "Requests per second"
    return f"{speed} (lowest–highest round), and {memory}:\n\n{_grid(rows, cell)}"


def _resumed(rows: list[dict[str, Any]]) -> str:
    tls = [row for row in rows if "resumed" in row and "TLS" in row["column"]]
    if not tls:
        return ""
    found = list(dict.fromkeys(row["library"] for row in tls if row["resumed"]))
    return f"TLS sessions are resumed by: {', '.join(found) or 'none'}."


def _compared(rows: list[dict[str, Any]]) -> str:
    """The comparison that is known of HTTPX and AIOHTTP, with ours beside them."""
    found = {(row["column"], row["library"]): row for row in rows if row["group"] == COMPARED_IN and row.get("pace")}
    lines = []
    for column in dict.fromkeys(column for column, _ in found):
        own, *others = (found.get((column, library)) for library in COMPARED)
        if own is None or not any(others):
            continue
        cells = [between(row["per_second"], "/s") if row else "–" for row in (*others, own)]
        times = [f"{_short(own['pace']['median'] / row['pace']['median'])}×" if row else "–" for row in others]
        lines.append([column, *cells, *times])
    if not lines:
        return ""
    ours, *theirs = COMPARED
    about = (
        "Requests per second with asyncio (lowest–highest round), from the table above. How many times as many ours "
        "makes is told by what share each reached of the floor's in the same rounds."
    )
    columns = ["in flight", *theirs, ours, *(f"{ours} to {library}" for library in theirs)]
    return f"### HTTPX and AIOHTTP by concurrency, and ours\n\n{about}\n\n{table(columns, lines)}"


def _million(rows: list[dict[str, Any]]) -> str:
    waiting = [row for row in rows if row.get("in_flight") and row["per_second"] and row["cpu_seconds"]]
    if not waiting:
        return ""
    lines = []
    for row in sorted(waiting, key=lambda row: (row["in_flight"], row["cpu_seconds"]["median"])):
        pace = row["per_second"]
        ends = {"median": pace["median"], "low": pace["high"], "high": pace["low"]}
        hours = {**pace, **{name: DAY / ends[name] / 3600 for name in ends}}
        minutes = _times(row["cpu_seconds"], DAY / 60)
        lines.append(
            [
                f"{row['library']}, {row['group'].split(', ')[1]}",
                f"{row['in_flight']:,}",
                between(hours, " h"),
                between(minutes, " min"),
                f"{(row['over_idle'] or 0) / 1024**2:,.0f} MB",
            ]
        )
    columns = ["", "in flight", "1,000,000 pages take", "CPU time for them", "memory above idle"]
    return f"### A million pages that take a second each\n\n{table(columns, lines)}"


def _day(rows: list[dict[str, Any]]) -> str:
    """Work out what a steady pace needs from the case that has few in flight, as that pace has."""
    waiting = [row for row in rows if row.get("in_flight") == FEW and row["per_second"] and row["cpu_seconds"]]
    if not waiting:
        return ""
    lines = []
    for row in sorted(waiting, key=lambda row: row["cpu_seconds"]["median"]):
        takes = FEW / row["per_second"]["median"]  # seconds: the server's, and the client's own
        lines.append(
            [
                f"{row['library']}, {row['group'].split(', ')[1]}",
                f"{math.ceil(A_SECOND * takes):,}",
                between(_times(row["cpu_seconds"], 100 * A_SECOND), " %"),
                f"{row['peak'] / 1024**2:,.0f} MB" if row["peak"] else "–",
            ]
        )
    about = (
        f"{A_SECOND:.1f} pages a second, of a server that takes one second each: worked out from the rows with {FEW} "
        "in flight (what time and CPU time one of them took, times the pace). The memory is the "
        f"whole process's with {FEW} in flight, so at most."
    )
    columns = ["", "in flight", "of one core", "memory"]
    return f"### A million pages a day\n\n{about}\n\n{table(columns, lines)}"


def _failures(report: dict[str, Any]) -> str:
    lines = [f"- {name}: not installed ({why})" for name, why in report["missing"].items()]
    lines += [f"- {failed['case']}, {failed['library']}: {failed['why']}" for failed in report["failed"]]
    return "Not measured:\n\n" + "\n".join(lines) if lines else ""


def between(numbers: dict[str, float], unit: str) -> str:
    """Render a median with its spread: 1.57× (1.52–1.61); ≈1.57× when there was one round and so no spread."""
    median, low, high = (_short(numbers[name]) for name in ("median", "low", "high"))
    if numbers.get("rounds") == 1:
        return f"≈{median}{unit}"
    return f"{median}{unit} ({low}–{high})"


def _times(numbers: dict[str, float], factor: float) -> dict[str, float]:
    return {**numbers, **{name: numbers[name] * factor for name in ("median", "low", "high")}}


def _short(number: float) -> str:
    """Three digits, as far as they count."""
    if number == 0 or abs(number) >= 100:
        return f"{number:,.0f}"
    return f"{number:.1f}" if abs(number) >= 10 else f"{number:.2f}" if abs(number) >= 0.1 else f"{number:.2g}"


def _thousands(numbers: dict[str, float] | None) -> str:
    return "–" if numbers is None else _short(numbers["median"] / 1000)
