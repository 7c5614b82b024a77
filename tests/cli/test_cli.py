"""`hither URL`: what is sent, what is shown, and what the exit code says."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest
from servers.raw import close, endless, head, reset, until_closed, wait
from terminal import COMMAND, PATIENCE, Terminal, environment, on_terminal, piped

import hither
from hither.cli import main
from hither.cli.arguments import complete_url
from hither.cli.exit_codes import MEANINGS

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs a pty")


def ok(body: bytes, *fields: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", *fields, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


@pytest.fixture
def out(capfdbinary):
    """`out()` gives standard output, `out.err()` standard error, as bytes, since the last look."""

    class Out:
        def both(self):
            return capfdbinary.readouterr()

        def __call__(self):
            return self.both().out

        def err(self):
            return self.both().err.decode()

    return Out()


@pytest.fixture
def sent(echo, out):
    """Run the command against /echo and give what the server was sent."""

    def run(*arguments, path="/echo"):
        assert main([*arguments, echo.url(path)]) == 0
        return json.loads(out())

    return run


def fields(answer) -> dict[str, str]:
    return {name.lower(): value for name, value in answer["headers"]}


# -- in a pipe


def test_a_pipe_gets_the_bytes_of_the_content_and_nothing_else(raw):
    body = bytes(range(256)) * 400
    with raw([head(), ok(body, "Content-Type: text/plain; charset=utf-8")]) as server:
        ran = piped(server.url())
    assert ran.stdout == body
    assert ran.stderr == b""
    assert ran.returncode == 0


def test_python_m_hither_is_the_command(echo):
    ran = piped(echo.url("/json"))
    assert json.loads(ran.stdout) == {"hello": "world", "numbers": [1, 2, 3]}


def test_content_coding_is_undone_in_a_pipe(echo, out):
    assert main([echo.url("/gzip")]) == 0
    assert out() == b'{"coding": "gzip"}'


def test_include_puts_the_head_before_the_content_as_it_was_sent(raw, out):
    answer = ok(b"hi", "X-One: 1", "x-ONE: \xe9")
    with raw([head(), answer]) as server:
        assert main(["-i", server.url()]) == 0
    assert out() == answer


def test_head_asks_for_the_head_and_shows_it(raw, out):
    with raw([head(), b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"]) as server:
        assert main(["-I", server.url()]) == 0
        assert server.requests[0].method == b"HEAD"
    assert out() == b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"


def test_a_stream_is_passed_on_as_it_comes(raw):
    go_on = threading.Event()
    start = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n"
    with raw([head(), start, wait(go_on), b"3\r\ntwo\r\n0\r\n\r\n"]) as server:
        with subprocess.Popen([*COMMAND, server.url()], stdout=subprocess.PIPE, env=environment()) as process:
            assert os.read(process.stdout.fileno(), 10) == b"one"
            go_on.set()
            assert process.stdout.read() == b"two"
        assert process.returncode == 0


@posix
def test_a_closed_pipe_is_quiet(raw):
    block = b"x" * 65536
    start = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    with raw([head(), lambda connection: connection.endless(block, start)]) as server:
        process = subprocess.Popen(
            [*COMMAND, server.url()], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
        )
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        process.stderr.close()
        assert process.wait(PATIENCE) == 141


@posix
def test_a_pipe_that_closes_before_a_small_piece_is_quiet(raw):
    go_on = threading.Event()
    start = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n"
    with raw([head(), start, wait(go_on), b"3\r\ntwo\r\n0\r\n\r\n"]) as server:
        process = subprocess.Popen(
            [*COMMAND, server.url()], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
        )
        assert os.read(process.stdout.fileno(), 10) == b"one"
        process.stdout.close()
        go_on.set()
        assert process.stderr.read() == b""
        process.stderr.close()
        assert process.wait(PATIENCE) == 141


# -- the request


def test_data_makes_a_post_of_a_form(sent):
    answer = sent("-d", "a=1", "--data", "b=2 3")
    assert (answer["method"], answer["body"]) == ("POST", "a=1&b=2 3")
    assert fields(answer)["content-type"] == "application/x-www-form-urlencoded"


def test_data_with_another_method_and_type(sent):
    answer = sent("-X", "PUT", "-d", "<a/>", "-H", "content-type: text/xml")
    assert (answer["method"], answer["body"]) == ("PUT", "<a/>")
    assert [value for name, value in answer["headers"] if name.lower() == "content-type"] == ["text/xml"]


def test_data_from_a_file_is_sent_as_it_is(sent, tmp_path):
    (tmp_path / "body").write_bytes(b"a\r\n\x00\xff" * 100_000)
    answer = sent("-d", f"@{tmp_path / 'body'}")
    assert answer["length"] == 500_000
    assert answer["body"].startswith("a\r\n\x00\xff")
    assert fields(answer)["content-length"] == "500000"


def test_data_from_standard_input(echo):
    ran = piped("-d", "@-", echo.url("/echo"), input=b"from\nthe pipe")
    answer = json.loads(ran.stdout)
    assert answer["body"] == "from\nthe pipe"
    assert fields(answer)["content-length"] == "13"


def test_empty_data_is_still_a_post(sent):
    answer = sent("-d", "")
    assert (answer["method"], answer["length"]) == ("POST", 0)


def test_json_is_sent_as_it_was_written(sent, tmp_path):
    answer = sent("--json", '{"a":  1.50}')
    assert (answer["method"], answer["body"]) == ("POST", '{"a":  1.50}')
    assert fields(answer)["content-type"] == "application/json"
    assert fields(answer)["accept"].startswith("application/json")
    (tmp_path / "file.json").write_text("[1]\n")
    assert sent("--json", f"@{tmp_path / 'file.json'}")["body"] == "[1]\n"


def test_a_form_with_files(sent, tmp_path):
    (tmp_path / "photo.png").write_bytes(b"\x89PNG")
    answer = sent("-F", "to=ada", "-F", f"file=@{tmp_path / 'photo.png'};type=image/x;filename=p.png")
    assert answer["method"] == "POST"
    assert fields(answer)["content-type"].startswith("multipart/form-data; boundary=")
    body = answer["body"]
    assert 'name="to"\r\n\r\nada\r\n' in body
    answer = sent("-F", f"file=@{tmp_path / 'photo.png'};type=image/x;filename=p.png")
    assert 'name="file"; filename="p.png"\r\nContent-Type: image/x\r\n\r\n\x89PNG\r\n' in answer["body"]


def test_headers_are_added_replaced_emptied_and_left_out(sent):
    answer = sent("-H", "X-One: 1", "-H", "x-one: 2", "-H", "User-Agent: me", "-H", "X-Empty;", "-H", "Accept:")
    pairs = answer["headers"]
    assert [pair for pair in pairs if pair[0].lower() == "x-one"] == [["X-One", "1"], ["X-One", "2"]]
    assert fields(answer)["user-agent"] == "me"
    assert fields(answer)["x-empty"] == ""
    assert "accept" not in fields(answer)


def test_user_and_password(sent):
    assert fields(sent("-u", "user:secret"))["authorization"] == "Basic dXNlcjpzZWNyZXQ="
    assert sent("-u", "user:secret", "--digest", path="/auth/digest")["method"] == "GET"


@posix
def test_a_password_that_is_not_given_is_asked_for(echo):
    with Terminal("-u", "user", echo.url("/auth/basic")) as terminal:
        terminal.until(b"Password of user: ")
        os.write(terminal._master, b"secret\n")
        assert terminal.finish() == 0
        assert b"200 OK" in terminal.shown
        assert b"secret\r\n" not in terminal.shown


def test_redirects_are_followed_unless_told_not_to(echo, out):
    assert main([echo.url("/redirect/2")]) == 0
    assert json.loads(out())["target"] == "/echo"
    assert main(["--no-follow", "-i", echo.url("/redirect/2")]) == 0
    assert out().startswith(b"HTTP/1.1 302 Found\r\n")


@pytest.mark.parametrize(
    ("given", "whole"),
    [
        ("localhost", "http://localhost"),
        ("LOCALHOST:80/a", "http://LOCALHOST:80/a"),
        ("app.localhost:3000", "http://app.localhost:3000"),
        ("127.0.0.1:8000/x?u=http://y", "http://127.0.0.1:8000/x?u=http://y"),
        ("me:pw@10.0.0.1", "http://me:pw@10.0.0.1"),
        ("[::1]:8080/", "http://[::1]:8080/"),
        ("example.org", "https://example.org"),
        ("example.org:8080/localhost", "https://example.org:8080/localhost"),
        ("localhost.example.org", "https://localhost.example.org"),
        ("1.2.3.4.example.org", "https://1.2.3.4.example.org"),
        ("//example.org/", "https://example.org/"),
        (" example.org ", "https://example.org"),
        ("HTTP://example.org", "HTTP://example.org"),
    ],
)
def test_a_url_without_a_scheme_gets_one(given, whole):
    assert complete_url(given) == whole


def test_the_scheme_may_be_left_out(echo, out):
    assert main([echo.url("/json").removeprefix("http://")]) == 0
    assert json.loads(out())["hello"] == "world"


# -- TLS


def test_tls_by_a_given_authority(echo_tls, authority_file, client_certificate_file, out):
    url = echo_tls.url("/echo")
    assert main([url]) == 60
    assert "CERTIFICATE" in (message := out.err()).upper()
    assert message.count("\n") == 1
    assert main(["--cacert", authority_file, url]) == 0
    assert json.loads(out())["certificate"] is None
    assert main(["-k", url]) == 0
    assert json.loads(out())["method"] == "GET"
    assert main(["--cacert", authority_file, "--cert", client_certificate_file, url]) == 0
    assert json.loads(out())["certificate"] == "tester"
    arguments = [
        "--cacert",
        authority_file,
        "--cert",
        client_certificate_file,
        "--key",
        client_certificate_file,
    ]
    assert main([*arguments, url]) == 0
    assert json.loads(out())["certificate"] == "tester"


# -- versions of HTTP


@pytest.mark.protocols("http2")
def test_http2_without_asking(echo, protocol, out):
    assert main(["-i", "--http2", echo.url("/json")]) == 0
    assert out().startswith(b"HTTP/2 200 OK\r\n")


@pytest.mark.parametrize(("option", "version"), [(None, b"HTTP/2"), ("--http2", b"HTTP/2"), ("--http1.1", b"HTTP/1.1")])
def test_over_tls_the_server_chooses_from_what_is_allowed(nginx, authority_file, out, option, version):
    url = nginx.over("http2").tls_url("/json")
    assert main([*filter(None, [option]), "-i", "--cacert", authority_file, url]) == 0
    assert out().startswith(version + b" 200 OK\r\n")


# -- on a terminal


@posix
def test_a_terminal_shows_status_headers_and_indented_json(raw):
    body = b'{"a":[1,2.50,{}],"b":"\\u00e9"}'
    with raw([head(), ok(body, "Content-Type: application/json; charset=utf-8", "X-A: b")]) as server:
        code, shown = on_terminal(server.url(), NO_COLOR="1")
    assert code == 0
    assert shown == (
        "HTTP/1.1 200 OK\nContent-Type: application/json; charset=utf-8\nX-A: b\nContent-Length: 30\n\n"
        '{\n  "a": [\n    1,\n    2.50,\n    {}\n  ],\n  "b": "\\u00e9"\n}\n'
    )


@posix
def test_a_terminal_is_coloured_with_rich(echo):
    pytest.importorskip("rich")
    code, shown = on_terminal(echo.url("/json"))
    assert code == 0
    assert "\x1b[1;32m200 OK\x1b[0m" in shown
    assert "\x1b[36mContent-Type\x1b[0m" in shown
    assert '\x1b[1;34m"hello"\x1b[0m' in shown
    code, shown = on_terminal(echo.url("/status/404"))
    assert code == 0
    assert "\x1b[1;31m404 Not Found\x1b[0m" in shown


@posix
def test_a_terminal_is_plain_without_rich(echo, tmp_path):
    (tmp_path / "rich.py").write_text("raise ImportError('not installed')")
    code, shown = on_terminal(echo.url("/json"), PYTHONPATH=str(tmp_path))
    assert code == 0
    assert "\x1b" not in shown
    assert shown.startswith("HTTP/1.1 200 OK\n")
    assert '{\n  "hello": "world",' in shown


HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m \x00 \x7f\u202egnp.exe\r over\b\b \U0001f600"


@posix
@pytest.mark.parametrize("colour", ["", "1"], ids=["coloured", "plain"])
@pytest.mark.parametrize("kind", ["text/plain; charset=utf-8", "application/json", "text/html; charset=utf-8"])
def test_no_control_character_of_a_server_reaches_a_terminal(raw, kind, colour):
    body = (
        HOSTILE.replace("\x00", "") if "json" not in kind else json.dumps({"a": 1})[:-1] + ',"b":"\x9b31m\x7f\u202e"}'
    )
    changes = {"NO_COLOR": colour} if colour else {}
    with raw([head(), ok(body.encode(), f"Content-Type: {kind}", "X-Evil: \x1b[31m\x07\x9b31m")]) as server:
        code, shown = on_terminal(server.url(), **changes)
    assert code == 0
    own_colours = shown
    if not colour:
        import re

        own_colours = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert not [c for c in own_colours if (ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160 or c == "\u202e"]
    assert "\\x1b[31m\\x07" in own_colours
    assert "\\u202e" in own_colours


@posix
def test_an_error_message_cannot_control_a_terminal_either(raw):
    with raw([head(), b"\x1b[2J\x9b31m nonsense\r\n\r\n", close]) as server:
        code, shown = on_terminal(server.url())
    assert code == 8
    assert "\x1b" not in shown
    assert "\x9b" not in shown
    assert shown.count("\n") == 1


@posix
def test_binary_content_is_named_not_shown(raw):
    with raw([head(), ok(b"\x89PNG\r\n\x00\x1b[2J", "Content-Type: image/png")]) as server:
        code, shown = on_terminal(server.url(), NO_COLOR="1")
    assert code == 0
    assert "[binary content: image/png, 11 bytes; -o FILE saves it]" in shown
    assert "\x1b" not in shown


@posix
def test_text_is_shown_as_it_comes_in_its_charset(raw):
    go_on = threading.Event()
    start = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=latin-1\r\nTransfer-Encoding: chunked\r\n\r\n"
    with raw([head(), start + b"5\r\ngr\xfcn\r\r\n", wait(go_on), b"4\r\n\nend\r\n0\r\n\r\n"]) as server:
        with Terminal(server.url()) as terminal:
            terminal.until("grün".encode())
            go_on.set()
            assert terminal.finish() == 0
            assert terminal.shown.endswith("\r\ngrün\r\nend\r\n".encode())


@posix
def test_characters_that_the_terminal_has_not_are_written_out(raw):
    with raw([head(), ok("é 😀".encode(), "Content-Type: text/plain; charset=utf-8")]) as server:
        code, shown = on_terminal(server.url(), PYTHONIOENCODING="ascii")
    assert code == 0
    assert shown.endswith("\\xe9 \\U0001f600\n")


@posix
def test_json_that_is_none_is_shown_as_text(raw):
    with raw([head(), ok(b'{"a":', "Content-Type: application/json")]) as server:
        code, shown = on_terminal(server.url())
    assert code == 0
    assert shown.endswith('\n{"a":\n')


# -- verbose


def test_verbose_tells_both_heads_and_times_but_no_secret(echo, out):
    cookies = "/set-cookie?c=sid%3Dhidden1%3B+Path%3D/&to=/echo"
    arguments = ["-v", "-u", "user:hidden2", "-H", "X-Api-Key: hidden3", "-H", "Cookie: own=hidden4"]
    assert main([*arguments, echo.url(cookies)]) == 0
    both = out.both()
    assert json.loads(both.out)["target"] == "/echo"
    told = both.err.decode()
    assert "> GET /set-cookie?" in told
    assert "> GET /echo\n> Host: 127.0.0.1" in told
    assert "< HTTP/1.1 302 Found\n" in told
    assert "< HTTP/1.1 200 OK\n" in told
    assert "> Authorization: Basic [secure]\n" in told
    assert "> Cookie: own=[secure]" in told
    assert "< Set-Cookie: sid=[secure]; Path=/\n" in told
    assert "> X-Api-Key: [secure]\n" in told
    assert "total " in told
    for secret in ("hidden2", "hidden3", "hidden4", "dXNlcjpoaWRkZW4y"):
        assert secret not in told
    assert "sid=hidden1" not in told


def test_verbose_names_the_tls_version(echo_tls, authority_file, out):
    assert main(["-v", "--cacert", authority_file, echo_tls.url("/json")]) == 0
    assert "TLSv1." in out.err()


# -- saving to a file


def test_output_saves_the_content(echo, tmp_path, out):
    assert main(["-o", str(tmp_path / "file"), echo.url("/gzip")]) == 0
    assert (tmp_path / "file").read_bytes() == b'{"coding": "gzip"}'
    assert out.both() == (b"", b"")
    assert os.listdir(tmp_path) == ["file"]


def test_output_to_a_dash_is_standard_output(echo, out):
    assert main(["-o", "-", echo.url("/")]) == 0
    assert out() == b"hello"


def test_output_with_include_shows_the_head(echo, tmp_path, out):
    assert main(["-i", "-o", str(tmp_path / "file"), echo.url("/")]) == 0
    assert out().startswith(b"HTTP/1.1 200 OK\r\n")
    assert (tmp_path / "file").read_bytes() == b"hello"


@posix
def test_output_keeps_links_and_permissions(echo, tmp_path):
    (tmp_path / "real").write_bytes(b"before")
    (tmp_path / "real").chmod(0o640)
    (tmp_path / "link").symlink_to("real")
    assert main(["-o", str(tmp_path / "link"), echo.url("/")]) == 0
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"hello"
    assert (tmp_path / "real").stat().st_mode & 0o777 == 0o640
    before = os.umask(0o027)
    try:
        assert main(["-o", str(tmp_path / "new"), echo.url("/")]) == 0
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o640


@posix
def test_output_to_a_device_is_written_straight(echo):
    assert main(["-o", os.devnull, echo.url("/")]) == 0
    assert not os.path.isfile(os.devnull)


@posix
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGKILL"])
def test_an_interrupted_download_leaves_what_was_there(raw, tmp_path, name):
    number = getattr(signal, name)
    (tmp_path / "file").write_bytes(b"before")
    came = threading.Event()
    start = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 500_000
    with raw([head(), start, lambda connection: came.set(), until_closed]) as server:
        process = subprocess.Popen([*COMMAND, "-o", tmp_path / "file", server.url()], env=environment())
        assert came.wait(PATIENCE)
        part = []
        while not part or not part[0].stat().st_size:
            part = list(tmp_path.glob(".file.*.part"))
            assert process.poll() is None
        process.send_signal(number)
        code = process.wait(PATIENCE)
    assert (tmp_path / "file").read_bytes() == b"before"
    if number == signal.SIGKILL:  # nothing can be done about the part, but it is not taken for the file
        assert code == -signal.SIGKILL
        return
    assert os.listdir(tmp_path) == ["file"]
    assert code == 128 + number


def test_a_truncated_download_leaves_no_file(raw, tmp_path, out):
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 500_000
    with raw([head(), answer, close]) as server:
        assert main(["-o", str(tmp_path / "file"), server.url()]) == 8
    assert os.listdir(tmp_path) == []
    assert out.err().count("\n") == 1


def test_a_failed_status_leaves_no_file(echo, tmp_path):
    assert main(["-f", "-o", str(tmp_path / "file"), echo.url("/status/500")]) == 22
    assert os.listdir(tmp_path) == []


def test_a_file_that_cannot_be_written_is_found_out_before_the_request(echo, tmp_path, out):
    assert main(["-o", str(tmp_path / "none" / "file"), "-d", "x", echo.url("/echo")]) == 23
    assert "cannot write" in out.err()
    assert echo.answered == 0
    assert main(["-o", str(tmp_path), echo.url("/")]) == 23


@posix
def test_a_download_on_a_terminal_shows_its_progress(raw, tmp_path):
    pytest.importorskip("rich")
    go_on = threading.Event()
    start = b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n" + bytes(1_000_000)
    with raw([head(), start, wait(go_on), bytes(1_000_000)]) as server:
        with Terminal("-o", tmp_path / "file.bin", server.url()) as terminal:
            terminal.until(b"file.bin")
            terminal.until("━".encode())
            go_on.set()
            assert terminal.finish() == 0
            assert b"file.bin: 1.9 MiB in " in terminal.shown
    assert (tmp_path / "file.bin").stat().st_size == 2_000_000


@posix
def test_a_silent_download_draws_nothing(echo, tmp_path):
    assert on_terminal("-s", "-o", tmp_path / "file", echo.url("/")) == (0, "")


@posix
def test_a_download_works_without_rich(echo, tmp_path):
    (tmp_path / "rich.py").write_text("raise ImportError('not installed')")
    code, shown = on_terminal("-o", tmp_path / "file", echo.url("/big/3000000"), PYTHONPATH=str(tmp_path))
    assert code == 0
    assert "file: 2.9 MiB in " in shown
    assert "\x1b" not in shown


def test_rich_is_not_imported_in_a_pipe(echo, tmp_path):
    program = "import sys; from hither.cli import main; main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    command = [sys.executable, "-c", program, "-o", str(tmp_path / "file"), echo.url("/json")]
    loaded = subprocess.run(command, capture_output=True, timeout=PATIENCE, text=True).stderr.split()
    assert not {"rich", "asyncio", "trio", "http.server", "hither.cli.demo"} & set(loaded)


# -- exit codes


def test_fail_makes_a_bad_status_an_error_in_one_line(echo, out):
    assert main([echo.url("/status/404")]) == 0
    assert out() == b"status"
    assert main(["--fail", echo.url("/status/404")]) == 22
    both = out.both()
    assert both.out == b""
    assert both.err.decode() == f"hither: 404 Not Found [GET {echo.url('/status/404')}]\n"


def refused() -> str:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{sock.getsockname()[1]}/"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], 2),
        (["--no-such-option", "localhost"], 2),
        (["--max-time", "soon", "localhost"], 2),
        (["--max-time", "-1", "localhost"], 2),
        (["-d", "a", "--json", "1", "localhost"], 2),
        (["--json", "{a:1}", "localhost"], 2),
        (["-H", "no colon", "localhost"], 2),
        (["-H", "Bad Name: x", "localhost:1"], 2),
        (["-H", "X: a\r\nEvil: b", "localhost:1"], 2),
        (["-F", "nameless", "localhost"], 2),
        (["-I", "-d", "x", "localhost"], 2),
        (["http://[::1"], 3),
        (["http://localhost:99999/"], 3),
        (["http://"], 3),
        (["gopher://localhost/"], 1),
        (["-d", "@/no/such/file", "localhost"], 26),
        (["-F", "a=@/no/such/file", "localhost"], 26),
        (["--cacert", "/no/such/file", "localhost"], 26),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_exit_codes_of_bad_input(arguments, code, out):
    assert main(arguments) == code
    message = out.err()
    assert message.startswith("hither: ") or message.startswith("usage: ")
    if not message.startswith("usage: "):
        assert message.count("\n") == 1


def test_exit_code_of_a_method_that_is_none(echo, out):
    assert main(["-X", "GET /", echo.url("/")]) == 2
    assert echo.answered == 0


def test_exit_code_of_a_name_without_an_address(out, monkeypatch):
    def unknown(*arguments, **options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert main(["http://no-such-host.invalid/"]) == 6
    assert "no-such-host.invalid" in out.err()


def test_exit_code_of_a_refused_connection(out):
    assert main([refused()]) == 7
    assert out.err().startswith("hither: no connection")


def test_exit_codes_of_what_a_server_does_wrong(raw, out):
    for script, code in (
        ([head(), b"SSH-2.0-OpenSSH\r\n", close], 8),
        ([head(), close], 8),
        ([head(), b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", close], 8),
        ([head(), b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", reset], 56),
        ([head(), ok(b"no gzip", "Content-Encoding: gzip")], 61),
        ([head(), b"HTTP/1.1 302 Found\r\nLocation: http://[\r\nContent-Length: 0\r\n\r\n"], 8),
        ([head(), endless(b"X-Y: z\r\n", b"HTTP/1.1 200 OK\r\n")], 8),
    ):
        with raw(script) as server:
            found = main([server.url()])
            assert found == code, (script, out.err())
            message = out.err()
            assert message.startswith("hither: "), script
            assert message.count("\n") == 1


def test_exit_code_of_tls_with_a_server_that_speaks_none(raw, out):
    with raw([lambda connection: connection.more(), b"HTTP/1.1 400 Bad Request\r\n\r\n", close]) as server:
        assert main([server.url().replace("http:", "https:")]) == 35


def test_exit_codes_of_time_outs(echo, out):
    assert main(["--max-time", "0.2", echo.url("/slow")]) == 28
    assert "timeout.total = 0.2 s" in out.err()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        assert main(["--connect-timeout", "0.2", url]) == 28
    message = out.err()
    assert message.startswith("hither: timed out after ")
    assert " 0.2 s " in message


def test_max_time_lifts_the_limits_of_the_phases(echo):
    from hither.cli.arguments import parse
    from hither.cli.call import _timeout

    given = _timeout(parse(["--max-time", "100", "--connect-timeout", "9", "localhost"]))
    assert given == hither.Timeout(None, connect=9, total=100)
    assert _timeout(parse(["localhost"])) == hither.Timeout()


def test_exit_code_of_too_many_redirects(echo, out):
    assert main(["--max-redirs", "2", echo.url("/redirect/5")]) == 47


@posix
def test_ctrl_c_ends_with_130_and_no_traceback(echo):
    process = subprocess.Popen([*COMMAND, echo.url("/slow")], stderr=subprocess.PIPE, env=environment())
    echo.wait_for(lambda server: server.requests)
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 130
    assert process.stderr.read() == b""
    process.stderr.close()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_under_standard_output(echo):
    with open("/dev/full", "wb") as full:
        ran = subprocess.run(
            [*COMMAND, echo.url("/")],
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment(),
            timeout=PATIENCE,
        )
    assert ran.returncode == 23
    assert ran.stderr.count(b"\n") == 1
    assert main(["-o", "/dev/full", echo.url("/big/100000")]) == 23


@posix
def test_closed_standard_streams_are_no_traceback(echo, tmp_path):
    command = " ".join(COMMAND)
    for line, code in (
        (f"{command} {echo.url('/')} >&-", 0),
        (f"{command} -o {tmp_path}/file {echo.url('/')} >&-", 0),
        (f"{command} -d @- {echo.url('/')} <&-", 26),
    ):
        ran = subprocess.run(["sh", "-c", line], capture_output=True, env=environment(), timeout=PATIENCE)
        assert ran.returncode == code, ran.stderr
        assert b"Traceback" not in ran.stderr
    assert (tmp_path / "file").read_bytes() == b"hello"


def test_credentials_in_the_url_are_masked_in_errors(out):
    assert main([refused().replace("http://", "http://me:hidden@")]) == 7
    assert "hidden" not in out.err()


# -- help


def test_help_documents_every_option_and_exit_code(out):
    assert main(["--help"]) == 0
    text = out().decode()
    for code, meaning in MEANINGS.items():
        assert f"\n  {code:>3}  {meaning[:20]}" in text
    for option in ("-X", "-H", "-d", "--json", "-F", "-o", "-v", "-i", "-I", "-u", "--max-time", "-k", "-f"):
        assert option in text
    assert "hither demo" in text


def test_version(out):
    assert main(["--version"]) == 0
    assert out().decode() == f"hither {hither.__version__}\n"


def test_the_docs_list_the_same_exit_codes():
    from pathlib import Path

    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    for code, meaning in MEANINGS.items():
        assert f"| {code} | {meaning} |" in page
