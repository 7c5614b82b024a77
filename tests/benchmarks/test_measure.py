"""The arithmetic of the benchmarks, and their tables."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def load(name: str) -> ModuleType:
    """`benchmarks` lies beside `tests`, outside of what is installed."""
    sys.path.insert(0, str(ROOT))
    try:
        return importlib.import_module(f"benchmarks.{name}")
    finally:
        sys.path.remove(str(ROOT))


measure, cases, report, environment, smoke, servers = map(
    load, ["measure", "cases", "report", "environment", "smoke", "servers"]
)


def test_a_slope_leaves_out_what_comes_once() -> None:
    short = {"user_instructions": 1_000_000.0 + 300 * 70, "user_seconds": 1.5, "peak": 5.0}
    long = {"user_instructions": 1_000_000.0 + 800 * 70, "user_seconds": 2.0, "peak": 6.0}
    assert measure.slope(short, long, 500) == {"user_instructions": 70, "user_seconds": 0.001}


def test_a_figure_that_one_run_lacks_is_not_made_up() -> None:
    assert measure.slope({"user_instructions": 1.0}, {"user_seconds": 1.0}, 1) == {}


def test_the_cost_sums_user_and_kernel() -> None:
    values = {
        "user_instructions": 40.0,
        "kernel_instructions": 30.0,
        "user_seconds": 2.0,
        "kernel_seconds": 1.0,
    }
    assert measure.cost(values, "perf") == 70
    assert measure.cost(values, "callgrind") == 40
    assert measure.cost(values, "cpu") == 3
    assert measure.cost({"user_seconds": -0.1, "kernel_seconds": 0.0}, "cpu") is None
    assert measure.cost({}, "perf") is None


PERF = """# started on Sat Nov 21 04:42:08 2026

1234567,,instructions:u,1000000,100.00,1.02,insn per cycle
765432,,instructions:k,1000000,100.00,,
0.87,msec,task-clock,874404,100.00,0.389,CPUs utilized
"""


def test_perf_output_is_read() -> None:
    assert measure.parse_perf(PERF) == {"user_instructions": 1234567, "kernel_instructions": 765432}


def test_what_perf_could_not_count_is_left_out() -> None:
    text = "<not supported>,,instructions:u,0,100.00,,\n<not counted>,,instructions:k,0,0.00,,\n"
    assert measure.parse_perf(text) == {}


def test_perf_on_two_kinds_of_cores_is_summed() -> None:
    text = "100,,cpu_core/instructions/u,9,60.00,,\n20,,cpu_atom/instructions/u,9,40.00,,\n7,,cpu_core/instructions:k/,9,1,,\n"
    assert measure.parse_perf(text) == {"user_instructions": 120, "kernel_instructions": 7}


def test_callgrind_output_is_read() -> None:
    text = "==12== Events    : Ir\n==12== Collected : 288092276\n==12==\n"
    assert measure.parse_callgrind(text) == {"user_instructions": 288092276}
    assert measure.parse_callgrind("valgrind: no such program") == {}


def test_a_spread_tells_the_median_and_both_ends() -> None:
    assert measure.spread([3.0, None, 1.0, 2.0]) == {"median": 2, "low": 1, "high": 3, "rounds": 3}
    assert measure.spread([None]) is None


def test_run_lengths_fit_the_time_and_keep_every_task_busy() -> None:
    case = cases.CASES["json-asyncio-1000"]
    assert measure.lengths(0.00005, 1.0, case) == (5000, 20_000)
    assert measure.lengths(0.01, 1.0, case) == (1000, 2000)
    assert measure.lengths(0.2, 1.0, cases.CASES["download-sync"]) == (1, 5)
    assert measure.lengths(9.0, 1.0, cases.CASES["download-sync"]) == (1, 2)


def test_cases_are_chosen_by_name_or_beginning() -> None:
    assert [case.name for case in cases.choose(["json-sync"], quick=False)] == ["json-sync"]
    assert len(cases.choose(["json-tls-asyncio", "json-sync"], quick=False)) == 7
    assert 0 < len(cases.choose([], quick=True)) < 8
    with pytest.raises(ValueError, match="no case named nonsense"):
        cases.choose(["json-sync", "nonsense"], quick=False)


def test_peers_are_pinned() -> None:
    assert environment.read_peers("# c\na: x==1 y==2;python_version<'3'\n\n b : z # d\n") == {
        "a": ["x==1", "y==2;python_version<'3'"],
        "b": ["z"],
    }
    for name, requirements in environment.PEERS.items():
        if name not in ("servers", "floor", "hither"):
            assert all("==" in requirement for requirement in requirements), name


def figures(cpu: float, pace: float) -> dict[str, Any]:
    return {
        "user_seconds": cpu,
        "kernel_seconds": 0.0,
        "per_second": pace,
        "peak": 30 * 1024**2,
        "over_idle": 0,
    }


def rows(name: str, counter: str = "cpu") -> list[dict[str, Any]]:
    case = cases.CASES[name]
    floor = [figures(0.001, 500), figures(0.002, 500)]
    own = [figures(0.002, 250), figures(0.003, 200)]
    return [
        measure.row(case, "hither", own, floor, counter),
        measure.row(case, "floor", floor, floor, counter),
    ]


def make_report(found: list[dict[str, Any]], counter: str = "cpu") -> dict[str, Any]:
    versions = {"floor": {}, "hither": {"idna": "3"}, "curl_cffi": {"curl-cffi": "1.2"}}
    failed = [{"case": "json-sync", "library": "wreq", "why": "out of time"}]
    return report.document(
        found,
        counter=counter,
        server="nginx",
        versions=versions,
        missing={"primp": "no wheel"},
        failed=failed,
    )


def test_a_row_holds_the_library_against_the_floor_of_the_same_round() -> None:
    assert rows("json-sync")[0]["ratio"] == {"median": 1.75, "low": 1.5, "high": 2.0, "rounds": 2}
    assert rows("json-sync")[1]["ratio"] is None


def test_the_table_shows_ratios_with_their_spread_and_no_absolute_time() -> None:
    text = report.markdown(make_report(rows("json-sync")))
    assert "| floor | 1 |" in text
    assert "| hither | 1.75× (1.50–2.00) |" in text
    assert "| hither | 225/s (200–250), 30 MB |" in text
    assert "curl_cffi 1.2" in text
    assert "hither checkout" in text
    assert "- primp: not installed (no wheel)" in text
    assert "- json-sync, wreq: out of time" in text


def test_the_table_shows_instructions_where_they_are_counted() -> None:
    floor = [{"user_instructions": 20_000.0, "kernel_instructions": 16_000.0}]
    own = [{"user_instructions": 45_000.0, "kernel_instructions": 24_000.0}]
    case = cases.CASES["json-sync"]
    found = [
        measure.row(case, "hither", own, floor, "perf"),
        measure.row(case, "floor", floor, floor, "perf"),
    ]
    text = report.markdown(make_report(found, "perf"))
    assert "| floor | 36.0 |" in text
    assert "| hither | 69.0 (1.92×) |" in text


def test_a_million_pages_are_told_from_the_slow_server() -> None:
    text = report.markdown(make_report(rows("latency-asyncio-1000")))
    assert "| hither, asyncio | 1,000 | 1.23 h (1.11–1.39) | 41.7 min (33.3–50.0) |" in text


def test_publishing_replaces_what_is_between_the_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- tables -->\nold\n<!-- /tables -->\nafter\n")
    report.publish(page, "new\n")
    assert page.read_text() == "before\n<!-- tables -->\n\nnew\n\n<!-- /tables -->\nafter\n"
    page.write_text("no marks")
    with pytest.raises(ValueError, match="has no"):
        report.publish(page, "new")


def test_the_page_has_the_marks() -> None:
    text = (ROOT / "docs" / "performance.md").read_text()
    assert all(text.count(mark) == 1 for mark in report.MARKS)


def test_the_smoke_scales_the_committed_figure_by_the_floor_and_fails_above_ten_percent() -> None:
    committed = {"hither": 70_000, "floor": 14_000}
    assert smoke.compare("x", {"hither": 76_000, "floor": 14_000}, committed)[0]
    assert not smoke.compare("x", {"hither": 78_000, "floor": 14_000}, committed)[0]
    assert smoke.compare("x", {"hither": 78_000, "floor": 15_000}, committed)[0]
    passes, line = smoke.compare("x", {"hither": 78_000, "floor": 14_000}, committed)
    assert "expected 70.0 (+11.4%)" in line


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_our_own_server_counts_an_upload(size: int) -> None:
    chunked = b"5\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n"
    upload = servers.Upload(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked")
    ends = [upload.feed(chunked[at : at + size]) for at in range(0, len(chunked), size)]
    assert any(ends)
    assert upload.size == 21
    upload = servers.Upload(b"POST / HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-continue")
    assert upload.expects_continue
    assert not upload.feed(b"hell")
    assert upload.feed(b"o")
