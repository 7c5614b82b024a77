"""`hither demo`: every step does what its code line says, and one that fails is told."""

from __future__ import annotations

import inspect
import subprocess
import sys
import threading
import time

import pytest
from terminal import COMMAND, PATIENCE, environment, on_terminal, piped

import hither
from hither.cli import main
from hither.cli.demo import run_demo
from hither.cli.demo_server import DemoServer
from hither.cli.demo_steps import STEPS, Step

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs a pty")


def test_the_demo_passes_and_shows_each_step(capsys):
    assert main(["demo"]) == 0
    shown = capsys.readouterr().out
    for step in STEPS:
        assert step.title in shown
        assert step.code in shown
    assert f"{len(STEPS)} steps, all well" in shown
    assert shown.count(" ms  ") == len(STEPS)
    assert "\x1b" not in shown


def test_the_demo_as_a_command_takes_a_few_seconds_and_says_nothing_else():
    started = time.monotonic()
    ran = piped("demo")
    assert ran.returncode == 0
    assert ran.stderr == b""
    assert time.monotonic() - started < 10


def test_the_demo_needs_nothing_but_the_required_dependencies(tmp_path):
    for name in (
        "rich",
        "trio",
        "uvloop",
        "brotli",
        "brotlicffi",
        "zstandard",
        "publicsuffixlist",
        "pygments",
    ):
        (tmp_path / f"{name}.py").write_text("raise ImportError('not installed')")
    ran = piped("demo", PYTHONPATH=str(tmp_path))
    assert ran.returncode == 0, ran.stderr


@posix
def test_the_demo_on_a_terminal_is_coloured_and_draws_the_upload():
    code, shown = on_terminal("demo")
    assert code == 0
    assert "\x1b[32m✓\x1b[0m" in shown
    assert "█" in shown
    assert "100%" in shown
    code, shown = on_terminal("demo", NO_COLOR="1", PYTHONIOENCODING="ascii")
    assert code == 0
    assert "\x1b" not in shown
    assert " ok " in shown


def test_the_demo_covers_the_tour():
    titles = " ".join(step.title for step in STEPS)
    for word in ("request", "async", "stream", "redirect", "cookie", "upload", "time-out", "200 concurrent", "HTTP/2"):
        assert word in titles


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.title)
def test_each_code_line_is_what_the_step_runs(step):
    """The lines of the code stand in the function, in order."""
    source = inspect.getsource(step.run).partition("def ")[2]
    names = {
        "AsyncClient(": "tour.async_client(",
        "=Limits(": "=hither.Limits(",
        "range(200)": "range(CONCURRENT)",
    }
    code = step.code
    for shown, real in names.items():
        code = code.replace(shown, real)
    place = 0
    for part in _parts(code):
        found = source.find(part, place)
        assert found >= 0, (part, source)
        place = found + len(part)


def _parts(code: str) -> list[str]:
    """`a; b` and `with x: y` as pieces that stand on lines of their own."""
    pieces = [code]
    for separator in ("; ", ": async for ", " as r: ", " as client: "):
        pieces = [part for piece in pieces for part in piece.split(separator)]
    return [
        piece.removesuffix(": ...").removeprefix("async with ").removeprefix("with ").removeprefix("async for ")
        for piece in pieces
    ]


def test_a_step_that_fails_is_told_and_the_tour_goes_on(capsys):
    def fails(tour):
        tour.client.get("/nowhere").raise_for_status()

    async def fails_too(tour):
        raise AssertionError("as it was told")

    ran = []
    steps = [
        Step("first", "a()", fails),
        Step("second", "await b()", fails_too),
        Step("third", "c()", lambda tour: ran.append(tour) or "fine"),
    ]
    assert run_demo([], steps) == 1
    shown = capsys.readouterr().out
    assert "HTTPStatusError: client error 404" in shown
    assert "AssertionError: as it was told" in shown
    assert "2 of 3 steps failed" in shown
    assert ran


def test_the_server_ends_with_idle_and_waiting_connections():
    with DemoServer() as server:
        client = hither.Client(base_url=server.url, trust_env=False)
        client.get("/hello")
        with pytest.raises(hither.ReadTimeout):
            client.get("/slow?seconds=60", timeout=0.05)
        started = time.monotonic()
    client.close()
    assert time.monotonic() - started < 2
    assert not [thread for thread in threading.enumerate() if "demo" in thread.name]


def test_the_demo_knows_its_options(capsys):
    assert main(["demo", "--help"]) == 0
    assert "hither demo" in capsys.readouterr().out
    assert main(["demo", "--what"]) == 2


def test_ctrl_c_ends_the_demo(tmp_path):
    import signal

    program = (
        "import sys; from hither.cli import main; from hither.cli.demo_steps import STEPS, Step;"
        "STEPS[:] = [Step('wait', 'wait()', lambda tour: tour.client.get('/slow?seconds=60'))];"
        "sys.exit(main(['demo']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    while b"wait()" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert err == b""
