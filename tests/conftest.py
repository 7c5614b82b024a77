"""One body of tests runs over every face; no test may hang, leak a thread or leak a socket."""

from __future__ import annotations

import gc
import inspect
import os
import signal
import ssl
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

SECONDS = 20  # that one test may take, its fixtures included; `time_limit(seconds)` says otherwise
PATIENCE = 5.0  # seconds in which threads and sockets that a test has let go of must be gone

collect_ignore = ["typing", "servers"]  # what pyright reads, and what is no test

FROM_OUTSIDE = (
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "SSLKEYLOGFILE",
)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "time_limit(seconds): how long this test may take, when 20 s are too few")
    config.addinivalue_line("markers", "keeps_sockets(why): leaves a socket open and is right to")
    config.addinivalue_line("markers", "faces(*names): run over these faces only")
    config.addinivalue_line("markers", "protocols(*names): run over these protocols, where a server asks which")
    for name in FROM_OUTSIDE:
        os.environ.pop(name, None)
        os.environ.pop(name.lower(), None)
    os.environ["NETRC"] = os.devnull


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    from faces import FACES, NAMES, PROTOCOLS

    faces = _asked(metafunc, "faces", NAMES)
    protocols = _asked(metafunc, "protocols", ()) if "protocol" in metafunc.fixturenames else ()
    if "face" in metafunc.fixturenames and protocols:
        metafunc.parametrize(
            ("face", "protocol"),
            [
                pytest.param(
                    FACES[face].over(PROTOCOLS[protocol]),
                    PROTOCOLS[protocol],
                    id=f"{face}-{protocol}",
                    marks=_runs(face),
                )
                for face in faces
                for protocol in protocols
            ],
        )
    elif "face" in metafunc.fixturenames:
        metafunc.parametrize("face", [pytest.param(FACES[name], id=name, marks=_runs(name)) for name in faces])
    elif protocols:
        metafunc.parametrize("protocol", [pytest.param(PROTOCOLS[name], id=name) for name in protocols])


def _asked(metafunc: pytest.Metafunc, marker: str, default: Sequence[str]) -> Sequence[str]:
    found = metafunc.definition.get_closest_marker(marker)
    return found.args if found else default


def _runs(name: str) -> list[pytest.MarkDecorator]:
    from importlib.util import find_spec

    missing = name in ("uvloop", "trio") and find_spec(name) is None
    return [pytest.mark.skip(reason=f"{name} is not installed")] if missing else []


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    face = pyfuncitem.funcargs["face"]
    # The loop's own time-out comes first: it cancels and says where. The alarm is for what cannot be cancelled.
    face.seconds = 0.8 * _seconds(pyfuncitem)
    face.run(pyfuncitem.obj, **arguments)
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    return (yield from _limited(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    return (yield from _limited(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    return (yield from _limited(item))


def _seconds(item: pytest.Item) -> float:
    marker = item.get_closest_marker("time_limit")
    return marker.args[0] if marker else SECONDS


def _limited(item: pytest.Item) -> Iterator[None]:
    """Let the alarm clock end a phase that hangs, with the stacks of all threads."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        return (yield)
    seconds = _seconds(item)

    stacks: list[str] = []

    def ring(_signal: int, _frame: Any) -> None:
        stacks.append(_all_stacks())
        signal.setitimer(signal.ITIMER_REAL, 2)  # again, should this one be swallowed
        raise TookTooLong

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return (yield)
    except BaseException:
        if stacks:  # however the interrupted code has wrapped it
            raise pytest.fail.Exception(f"took longer than {seconds} s\n{stacks[0]}", pytrace=False) from None
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class TookTooLong(BaseException):
    """What the alarm clock raises wherever the main thread is; no `except Exception` stops it."""


def _all_stacks() -> str:
    import traceback

    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return "\n".join(
        f"thread {names.get(ident)}:\n" + "".join(traceback.format_stack(frame)[-6:])
        for ident, frame in sys._current_frames().items()
    )


def _threads() -> set[threading.Thread]:
    # trio keeps worker threads for ten seconds and they end by themselves.
    return {t for t in threading.enumerate() if not t.name.startswith("Trio thread")}


def _sockets() -> int:
    """How many sockets this process has open; 0 where the system does not tell."""
    try:
        names = os.listdir("/proc/self/fd")
    except OSError:
        return 0
    count = 0
    for name in names:
        try:
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
        except OSError:  # the descriptor of the listing itself, or one closed meanwhile
            continue
    return count


@pytest.fixture(autouse=True)
def _nothing_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    threads, sockets = _threads(), _sockets()
    yield
    end = time.monotonic() + PATIENCE
    for thread in _threads() - threads:
        thread.join(max(0.0, end - time.monotonic()))
        assert not thread.is_alive(), f"the test left a thread behind: {thread}"
    if _sockets() > sockets and not request.node.get_closest_marker("keeps_sockets"):
        gc.collect()
        while (now := _sockets()) > sockets and time.monotonic() < end:
            threading.Event().wait(0.01)
        assert now <= sockets, f"the test left {now - sockets} sockets behind"


@pytest.fixture(scope="session")
def authority() -> Any:
    """A certificate authority of this session (trustme)."""
    import trustme

    return trustme.CA()


@pytest.fixture(scope="session")
def authority_file(authority: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Its certificate as a file, for `verify=`."""
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture(scope="session")
def certificate(authority: Any) -> Any:
    """A certificate for localhost, 127.0.0.1 and ::1."""
    return authority.issue_cert("localhost", "127.0.0.1", "::1", "*.hither.test")


@pytest.fixture(scope="session")
def certificate_file(certificate: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("certificate") / "server.pem"
    certificate.private_key_and_cert_chain_pem.write_to_path(path)
    return str(path)


@pytest.fixture(scope="session")
def client_certificate_file(authority: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A client's certificate and key in one file, for `cert=`; its common name is `tester`."""
    path = tmp_path_factory.mktemp("client-certificate") / "client.pem"
    authority.issue_cert("tester@hither.test", common_name="tester").private_key_and_cert_chain_pem.write_to_path(path)
    return str(path)


@pytest.fixture(scope="session")
def server_tls(authority: Any, certificate: Any) -> ssl.SSLContext:
    """The server's side of TLS; asks for a client's certificate and does without."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["http/1.1"])
    return context


@pytest.fixture(scope="session")
def http2_tls(certificate: Any) -> ssl.SSLContext:
    """The server's side of TLS that speaks HTTP/2 and nothing else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    context.set_alpn_protocols(["h2"])
    return context


@pytest.fixture
def protocol() -> Any:
    """What the servers `echo`, `nginx` and `httpbin` speak: HTTP/1.1 unless the test is marked with `protocols`."""
    from faces import PROTOCOLS

    return PROTOCOLS["http1"]


@pytest.fixture
def raw() -> Any:
    """`with raw(script, ...) as server`: see servers/raw.py."""
    from servers.raw import RawServer

    return RawServer


def _echo_server(protocol: Any, **options: Any) -> Any:
    from servers.echo import EchoServer

    if protocol.name == "http1":
        return EchoServer(**options)
    from servers.http2 import HTTP2EchoServer

    return HTTP2EchoServer(**options)


@pytest.fixture
def echo(protocol: Any) -> Iterator[Any]:
    with _echo_server(protocol) as server:
        yield server


@pytest.fixture
def other_echo(protocol: Any) -> Iterator[Any]:
    """A second origin."""
    with _echo_server(protocol) as server:
        yield server


@pytest.fixture
def echo_tls(protocol: Any, server_tls: ssl.SSLContext, http2_tls: ssl.SSLContext) -> Iterator[Any]:
    with _echo_server(protocol, tls=server_tls if protocol.name == "http1" else http2_tls) as server:
        yield server


@pytest.fixture
def echo_uds(tmp_path: Path, protocol: Any) -> Iterator[Any]:
    """An echo server on the Unix socket `server.path`."""
    path = str(tmp_path / "socket")
    if len(path) > 100:  # sun_path has 108 bytes on Linux, 104 on macOS
        import tempfile

        path = tempfile.mktemp(dir="/tmp")
    with _echo_server(protocol, uds=path) as server:
        server.path = path
        yield server


@pytest.fixture(scope="session")
def _nginx(tmp_path_factory: pytest.TempPathFactory, certificate_file: str) -> Iterator[Any]:
    from servers.nginx import Nginx, find_nginx

    if find_nginx() is None:
        pytest.skip("nginx is not installed (Debian: apt-get install nginx-light)")
    server = Nginx(tmp_path_factory.mktemp("nginx"), Path(certificate_file))
    yield server
    server.close()


@pytest.fixture
def nginx(_nginx: Any, protocol: Any) -> Any:
    return _nginx.over(protocol.name)


@pytest.fixture(scope="session")
def _httpbin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from servers.wsgi import Httpbin

    if sys.platform == "win32":
        pytest.skip("gunicorn does not run on Windows")
    server = Httpbin(tmp_path_factory.mktemp("httpbin"))
    yield server
    server.close()


@pytest.fixture(scope="session")
def _hypercorn(tmp_path_factory: pytest.TempPathFactory, certificate_file: str) -> Iterator[Any]:
    from servers.wsgi import Hypercorn

    server = Hypercorn(tmp_path_factory.mktemp("hypercorn"), certificate_file)
    yield server
    server.close()


@pytest.fixture
def httpbin(request: pytest.FixtureRequest, protocol: Any) -> Any:
    """httpbin: over HTTP/1.1 under gunicorn, over HTTP/2 under hypercorn."""
    return request.getfixturevalue("_httpbin" if protocol.name == "http1" else "_hypercorn")
