"""The arithmetic of the benchmarks, and their tables."""

from __future__ import annotations

import importlib
import json
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


measure, cases, report, environment, smoke, servers, worker = map(
    load, ["measure", "cases", "report", "environment", "smoke", "servers", "worker"]
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


def test_a_case_is_left_out_where_the_library_has_no_such_class_or_method() -> None:
    methods = {"Sync": ["get"], "AsyncHTTP2": ["get", "download"]}
    offered = {name for name, case in cases.CASES.items() if case.is_offered(methods)}
    assert {"json-sync", "json-threads-8", "client-sync", "import", "http2-download-asyncio"} < offered
    assert not {"download-sync", "json-asyncio-1", "client-async", "http2-json-sync"} & offered


def test_http2_has_a_port_of_its_own() -> None:
    addresses = {"plain": "http://a", "tls": "https://b", "http2": "https://c"}
    found = object.__new__(servers.Servers)
    found._addresses = {"site": addresses, "own": {"plain": "http://d"}}
    found.authority, found.upload = "authority.pem", "file"
    assert found.has_http2
    work = cases.CASES["http2-json-asyncio-50"].work("hither", 100, found, short=20)
    assert (work["client"], work["url"], work["warm_url"]) == ("AsyncHTTP2", "https://c/h2json", "https://c/h2json")
    assert cases.CASES["json-tls-sync"].work("hither", 100, found)["url"] == "https://b/json"


def test_http2_is_believed_to_the_server_only_and_over_one_connection() -> None:
    work = {"warm_up": 60, "short": 20, "count": 100}
    first = b'{"message": "hello", "protocol": "HTTP/2.0", "requests": 1}'
    worker._check_http2(work, first, first.replace(b"1}", b"183}"))
    with pytest.raises(worker.Wrong, match="one connection was used for 90 of 183 requests"):
        worker._check_http2(work, first, first.replace(b"1}", b"90}"))
    with pytest.raises(worker.Wrong, match="not over HTTP/2"):
        worker._check_http2(work, first.replace(b"HTTP/2.0", b"HTTP/1.1"), first)


def share_out(needs: list[float], total: float, takes: Any) -> list[float]:
    """Play a run: `takes` tells how long each would need; gives what each got."""
    budget, left, got = measure.Budget(total, sum(needs)), total, []
    for least, wanted in zip(needs, takes, strict=True):
        seconds, borrow = budget.take(least, left)
        got.append(min(wanted, seconds + borrow))
        left -= got[-1]
    assert left > -1e-6
    return got


def test_the_time_is_divided_by_what_a_case_needs() -> None:
    seconds = [measure.Budget(100, 10).take(least, 100)[0] for least in (1, 3)]
    assert seconds == pytest.approx([8.5, 25.5])


def test_the_slow_do_not_take_the_part_of_the_others() -> None:
    got = share_out([1.0] * 20, 100, [1000.0] * 10 + [4.25] * 10)
    assert got[0] == pytest.approx(4.25 + 15)  # all that is kept back
    assert got[1:10] == pytest.approx([4.25] * 9)
    assert got[10:] == pytest.approx([4.25] * 10)


def test_what_the_quick_have_left_is_for_the_later() -> None:
    budget = measure.Budget(100, 20)
    budget.take(10, 100)
    seconds, borrow = budget.take(1, 99)  # the first ten took a second in all
    assert seconds == pytest.approx(4.25 + 41.5 / 10)
    assert borrow == pytest.approx(56.5 - 41.5 / 10)


class OneCase:
    """Stands for the servers: their addresses are not asked for."""

    def url(self, *where: object, **more: object) -> str:
        return ""

    authority = upload = ""


def bench_of(tmp_path: Path, program: str) -> Any:
    """A bench whose every library is this program."""
    python = tmp_path / "python"
    python.write_text(f"#!{sys.executable}\n{program}\n")
    python.chmod(0o755)
    return measure.Bench(OneCase(), lambda library: str(python), "cpu")


def test_a_library_that_hangs_is_stopped_with_what_it_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    bench = bench_of(
        tmp_path,
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(pid)!r}, 'w').write(str(child.pid))\n"
        "child.wait()",
    )
    with pytest.raises(measure.Failed, match=r"no round was done in [2-7]\."):
        bench.pair(cases.CASES["json-sync"], "hither", 2.0, 2, borrow=0.0)
    state = Path(f"/proc/{pid.read_text()}/stat")
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_library_that_fails_is_told_at_once(tmp_path: Path) -> None:
    bench = bench_of(tmp_path, """print('{"error": "ConnectError: no"}')""")
    with pytest.raises(measure.Failed, match="ConnectError: no"):
        bench.pair(cases.CASES["json-sync"], "hither", 60.0, 2)


def test_both_runs_are_made_by_one_process_and_give_a_slope(tmp_path: Path) -> None:
    bench = bench_of(
        tmp_path,
        """
import json, sys
work = json.loads(sys.argv[3])
def took(count): return {"seconds": count * 1e-3, "user_seconds": 0.5 + count * 2e-4, "kernel_seconds": 0.0}
print(json.dumps({**took(work["count"]), "peak": 1, "over_idle": 0, "short": work["short"] and took(work["short"])}))
""",
    )
    own, floor = bench.pair(cases.CASES["json-sync"], "hither", 60.0, 2)
    assert [values["user_seconds"] for values in own + floor] == pytest.approx([2e-4] * 4)
    assert own[0]["per_second"] == pytest.approx(1000)


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


def test_a_million_pages_a_day_are_told_from_the_case_with_few_in_flight() -> None:
    found = rows("latency-asyncio-1000") + rows("latency-asyncio-100")
    text = report.markdown(make_report(found)).partition("### A million pages a day")[2]
    # 100 in flight at 225 a second: 0.44 s a page; 2.5 ms of CPU time a page, 11.57 times a second.
    assert "| hither, asyncio | 6 | 2.89 % (2.31–3.47) | 30 MB |" in text
    assert text.count("| hither, asyncio |") == 1
    assert "a day" not in report.markdown(make_report(rows("latency-asyncio-10000")))


def test_the_comparison_of_the_two_has_ours_beside_them() -> None:
    case = cases.CASES["json-asyncio-100"]
    floor = [figures(0.001, 500), figures(0.001, 1000)]
    found = [
        measure.row(case, name, [figures(0.002, pace), figures(0.002, 2 * pace)], floor, "cpu")
        for name, pace in (("hither", 400), ("aiohttp", 100))
    ]
    text = report.markdown(make_report(found)).partition("### HTTPX and AIOHTTP")[2]
    assert "| 100 | – | 150/s (100–200) | 600/s (400–800) | – | 4.00× |" in text
    assert "### HTTPX and AIOHTTP" not in report.markdown(make_report(found[1:]))
    assert "### HTTPX and AIOHTTP" not in report.markdown(make_report(rows("json-sync")))


def test_memory_in_flight_is_told_in_all_and_of_each() -> None:
    values = {**figures(0.002, 900), "over_idle": 1000 * 20 * 1024}
    row = measure.row(cases.CASES["latency-asyncio-1000"], "hither", [values], [figures(0.001, 900)], "cpu")
    assert "19.5 MB (20.0 kB each)" in report.markdown(make_report([row]))


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


@pytest.mark.parametrize(("now", "code"), [(54_000, 0), (56_000, 1)])
def test_the_smoke_fails_as_a_program(
    now: int, code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    committed = tmp_path / "baseline.json"
    figures = {"json-sync": {"hither": 50_000, "floor": 10_000}}
    committed.write_text(json.dumps({smoke.machine("callgrind"): figures}))
    monkeypatch.setattr(smoke, "BASELINE", committed)
    monkeypatch.setattr(smoke, "perf_command", lambda: None)
    monkeypatch.setattr(smoke.shutil, "which", lambda name: name)
    counted = {"json-sync": {"hither": now, "floor": 10_000}, "new": {"hither": 1, "floor": 1}}
    monkeypatch.setattr(smoke, "measure", lambda counter: counted)
    monkeypatch.setattr(sys, "argv", ["smoke"])
    assert smoke.main() == code
    said = capsys.readouterr().out
    assert ("more than 10%" in said) == bool(code)
    assert "new: skipped: no figure" in said


def test_the_smoke_is_skipped_where_nothing_is_committed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    committed = tmp_path / "baseline.json"
    committed.write_text("{}")
    monkeypatch.setattr(smoke, "BASELINE", committed)
    monkeypatch.setattr(smoke, "perf_command", lambda: None)
    monkeypatch.setattr(smoke.shutil, "which", lambda name: name)
    monkeypatch.setattr(sys, "argv", ["smoke"])
    assert smoke.main() == 0
    assert "skipped" in capsys.readouterr().out


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
