"""A WSGI application in the calling thread: PEP 3333."""

from __future__ import annotations

import io
import sys

import pytest

import hither

URL = "http://app.example/"


def client(app, **options):
    return hither.Client(transport=hither.WSGITransport(app, **options))


class Broken(Exception):
    pass


class Iteration:
    """An application's iterable that notes what was made of it."""

    def __init__(self, pieces, fails=None):
        self.pieces = pieces
        self.fails = fails
        self.given = 0
        self.closed = 0

    def __iter__(self):
        for piece in self.pieces:
            self.given += 1
            yield piece
        if self.fails:
            raise self.fails

    def close(self):
        self.closed += 1


def answers(iterable, status="200 OK", headers=()):
    def app(environ, start_response):
        start_response(status, [*headers])
        return iterable

    return app


def test_the_environment():
    seen = {}

    def app(environ, start_response):
        seen.update(environ)
        seen["body"] = environ["wsgi.input"].read()
        start_response("201 Made Up", [("Content-Type", "text/plain"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
        return [b"hello"]

    errors = io.StringIO()
    with client(app, script_name="/root", remote_addr="9.9.9.9", wsgi_errors=errors) as http:
        answered = http.post(
            "https://app.example:8443/gr%C3%BC%C3%9Fe%2F?q=%20x",
            headers=[("X-Two", "1"), ("X-Two", "2"), ("Content-Type", "text/x")],
            content="grüß",
        )
        assert dict(http.cookies) == {"a": "1", "b": "2"}
    assert (answered.status_code, answered.reason_phrase, answered.text) == (201, "Made Up", "hello")
    assert answered.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert answered.url == "https://app.example:8443/gr%C3%BC%C3%9Fe%2F?q=%20x"
    assert answered.is_closed
    assert seen["REQUEST_METHOD"] == "POST"
    assert seen["SCRIPT_NAME"] == "/root"
    assert seen["PATH_INFO"] == "/grüße/".encode().decode("latin-1")
    assert seen["QUERY_STRING"] == "q=%20x"
    assert (seen["SERVER_NAME"], seen["SERVER_PORT"], seen["wsgi.url_scheme"]) == (
        "app.example",
        "8443",
        "https",
    )
    assert seen["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert seen["REMOTE_ADDR"] == "9.9.9.9"
    assert seen["HTTP_HOST"] == "app.example:8443"
    assert seen["HTTP_X_TWO"] == "1, 2"
    assert (seen["CONTENT_TYPE"], seen["CONTENT_LENGTH"]) == ("text/x", "6")
    assert "HTTP_CONTENT_TYPE" not in seen
    assert seen["wsgi.version"] == (1, 0)
    assert seen["wsgi.errors"] is errors
    assert seen["body"] == "grüß".encode()


def test_the_validator_of_the_standard_library_agrees():
    from wsgiref.validate import validator

    def app(environ, start_response):
        content = environ["wsgi.input"].read(100)
        environ["wsgi.errors"].write("")
        start_response("200 OK", [("Content-Type", "text/plain")])
        return iter([b"you said: ", content])

    with client(validator(app)) as http:
        assert http.post(URL, content=b"hi").text == "you said: hi"
        assert http.get(URL).text == "you said: "


def test_errors_go_to_stderr():
    seen = []

    def app(environ, start_response):
        seen.append(environ["wsgi.errors"])
        start_response("204 No Content", [])
        return []

    with client(app) as http:
        assert http.get(URL).content == b""
    assert seen == [sys.stderr]


def test_the_response_is_streamed():
    iteration = Iteration([b"", b"one", b"two", b"", b"three"])
    with client(answers(iteration)) as http:
        with http.stream("GET", URL) as response:
            assert iteration.given == 2, "up to the first piece of content"
            pieces = response.iter_raw()
            assert next(pieces) == b"one"
            assert iteration.given == 2
            assert next(pieces) == b"two"
            assert iteration.given == 3
            assert list(pieces) == [b"three"]
            assert iteration.closed == 1
    assert iteration.closed == 1


def test_a_response_that_is_left_is_closed():
    iteration = Iteration([b"one", b"two"])
    with client(answers(iteration)) as http:
        with http.stream("GET", URL):
            pass
    assert (iteration.given, iteration.closed) == (1, 1)


def test_the_request_is_streamed():
    made = []

    def pieces():
        for number in range(3):
            made.append(number)
            yield b"%d" % number * 100_000

    def app(environ, start_response):
        file = environ["wsgi.input"]
        start = file.read(10), list(made)
        rest = file.read()
        start_response("200 OK", [])
        return [repr((start, len(rest), file.read())).encode()]

    with client(app) as http:
        assert http.post(URL, content=pieces(), headers={"Content-Length": "300000"}).text == repr(
            ((b"0000000000", [0]), 299_990, b"")
        )


@pytest.mark.parametrize("size", [10, 1_000_000])
def test_a_body_of_unknown_length_gets_one(size):
    """PEP 3333: applications read as much as CONTENT_LENGTH says."""

    def app(environ, start_response):
        assert "HTTP_TRANSFER_ENCODING" not in environ
        content = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        start_response("200 OK", [])
        return [str(len(content)).encode()]

    with client(app) as http:
        assert http.post(URL, content=(b"x" * size for _ in range(3))).text == str(3 * size)


def test_lines_of_the_request():
    def app(environ, start_response):
        file = environ["wsgi.input"]
        start_response("200 OK", [])
        return [repr([file.readline(), *file]).encode()]

    with client(app) as http:
        assert http.post(URL, content=iter([b"a\nb", b"\nc"]), headers={"Content-Length": "5"}).text == repr(
            [b"a\n", b"b\n", b"c"]
        )


def test_start_response_may_come_with_the_first_piece():
    def app(environ, start_response):
        yield b""
        start_response("202 Accepted", [])
        yield b"content"

    with client(app) as http:
        answered = http.get(URL)
    assert (answered.status_code, answered.text) == (202, "content")


def test_write():
    def app(environ, start_response):
        write = start_response("200 OK", [])
        write(b"written, ")
        write(b"")
        return [b"returned"]

    with client(app) as http:
        assert http.get(URL).text == "written, returned"


@pytest.mark.parametrize("status", ["200 OK", "204 No Content", "304 Not Modified"])
def test_no_content_where_there_can_be_none(status):
    iteration = Iteration([b"hello"])
    with client(answers(iteration, status, [("Content-Length", "5")])) as http:
        answered = http.head(URL) if status.startswith("200") else http.get(URL)
    assert answered.content == b""
    assert answered.headers["content-length"] == "5"
    assert iteration.closed == 1


# What the application does wrong


def raises_at_once(environ, start_response):
    raise Broken("at once")


def raises_before_content(environ, start_response):
    start_response("200 OK", [])
    yield b""
    raise Broken("before content")


def raises_half_way(environ, start_response):
    start_response("200 OK", [])
    yield b"half"
    raise Broken("half way")


@pytest.mark.parametrize("app", [raises_at_once, raises_before_content, raises_half_way])
def test_what_the_app_raises_reaches_the_caller(app):
    with client(app) as http, pytest.raises(Broken):
        http.get(URL)


def test_app_exceptions_can_be_kept_inside():
    for app in (raises_at_once, raises_before_content):
        with client(app, raise_app_exceptions=False) as http:
            answered = http.get(URL)
            assert (answered.status_code, answered.content) == (500, b"")
    with client(raises_half_way, raise_app_exceptions=False) as http:
        with pytest.raises(hither.RemoteProtocolError, match="before its response was complete") as caught:
            http.get(URL)
        assert isinstance(caught.value.__cause__, Broken)


def test_the_iterable_is_closed_when_it_raises():
    iteration = Iteration([b"half"], fails=Broken("half way"))
    with client(answers(iteration)) as http, pytest.raises(Broken):
        http.get(URL)
    assert iteration.closed == 1


def test_a_close_that_raises():
    class Fails(Iteration):
        def close(self):
            raise Broken("close")

    with client(answers(Fails([b"content"]))) as http, pytest.raises(Broken, match="close"):
        http.get(URL)
    with client(answers(Fails([b"content"])), raise_app_exceptions=False) as http:
        assert http.get(URL).text == "content"
    with (
        client(answers(Fails([b"content"], fails=Broken("worse")))) as http,
        pytest.raises(Broken, match="worse"),
    ):
        http.get(URL)


def reports(environ, start_response):
    """Answers its error with a page, and hands it to the server."""
    start_response("200 OK", [])
    try:
        raise Broken("reported")
    except Broken:
        start_response("503 Sorry", [("X-Error", "1")], sys.exc_info())
    return [b"sorry"]


def reports_too_late(environ, start_response):
    start_response("200 OK", [])
    yield b"half"
    try:
        raise Broken("too late")
    except Broken:
        start_response("503 Sorry", [], sys.exc_info())
    yield b"never"


def test_exc_info():
    with client(reports) as http, pytest.raises(Broken, match="reported"):
        http.get(URL)
    with client(reports, raise_app_exceptions=False) as http:
        answered = http.get(URL)
        assert (answered.status_code, answered.headers["x-error"], answered.text) == (503, "1", "sorry")
    with client(reports_too_late) as http, pytest.raises(Broken, match="too late"):
        http.get(URL)
    with (
        client(reports_too_late, raise_app_exceptions=False) as http,
        pytest.raises(hither.RemoteProtocolError),
    ):
        http.get(URL)


@pytest.mark.parametrize("raises", [True, False])
def test_half_a_response_is_never_returned_as_whole(raises):
    apps = {
        "no start_response": lambda environ, start_response: [],
        "too little": answers([b"half"], headers=[("Content-Length", "10")]),
        "nothing": answers([], headers=[("Content-Length", "10")]),
    }
    for app in apps.values():
        with client(app, raise_app_exceptions=raises) as http, pytest.raises(hither.RemoteProtocolError):
            http.get(URL)


def starts_twice(environ, start_response):
    start_response("200 OK", [])
    start_response("200 OK", [])
    return []


WRONG = {
    "no start": lambda environ, start_response: [b"content"],
    "starts twice": starts_twice,
    "status": answers([], status="OK"),
    "text": answers(["text"]),
    "injection": answers([], headers=[("A", "b\r\nc: d")]),
    "too much": answers([b"too much"], headers=[("Content-Length", "1")]),
}


@pytest.mark.parametrize("app", WRONG.values(), ids=WRONG)
def test_what_pep_3333_forbids_is_the_apps_error(app):
    with client(app) as http, pytest.raises((RuntimeError, TypeError)):
        http.get(URL)


# The request's side


@pytest.mark.parametrize("raises", [True, False])
@pytest.mark.parametrize("swallows", [True, False])
def test_what_the_users_body_raises_reaches_the_user(raises, swallows):
    def fails():
        yield b"one"
        raise Broken("the body")

    def app(environ, start_response):
        try:
            environ["wsgi.input"].read()
        except Broken:
            if not swallows:
                raise
        start_response("200 OK", [])
        return [b"never mind"]

    for headers in ({"Content-Length": "10"}, {}):
        with client(app, raise_app_exceptions=raises) as http, pytest.raises(Broken, match="the body"):
            http.post(URL, content=fails(), headers=headers)


def test_header_injection_is_refused():
    with client(answers([])) as http, pytest.raises(hither.LocalProtocolError):
        http.get(URL, headers={"X": "a\r\nb: c"})


def test_an_async_body_is_refused():
    async def pieces():
        yield b"one"

    def app(environ, start_response):
        environ["wsgi.input"].read()
        return []

    with client(app) as http, pytest.raises(TypeError, match="AsyncClient"):
        http.post(URL, content=pieces())


def test_it_is_not_for_the_async_client():
    with pytest.raises(TypeError, match="handle_async_request"):
        hither.AsyncClient(transport=hither.WSGITransport(answers([])))


def test_an_app_is_a_function():
    with pytest.raises(TypeError, match="WSGI"):
        hither.WSGITransport("module:app")


# An application that nobody here wrote


@pytest.fixture(scope="module")
def httpbin_app():
    return pytest.importorskip("httpbin").app


@pytest.fixture
def httpbin(httpbin_app):
    with hither.Client(transport=hither.WSGITransport(httpbin_app), base_url="http://httpbin.example") as http:
        yield http


def test_httpbin_get(httpbin):
    seen = httpbin.get("/get", params={"a": ["1", "2"], "b": "ü"}, headers={"X-Case": "Value"}).json()
    assert seen["args"] == {"a": ["1", "2"], "b": "ü"}
    assert seen["headers"]["X-Case"] == "Value"
    assert seen["headers"]["Host"] == "httpbin.example"
    assert seen["origin"] == "127.0.0.1"


def test_httpbin_bodies(httpbin):
    assert httpbin.post("/post", json={"a": 1}).json()["json"] == {"a": 1}
    assert httpbin.post("/post", data={"a": "1"}).json()["form"] == {"a": "1"}
    assert httpbin.put("/put", content=iter([b"one", b"two"])).json()["data"] == "onetwo"
    assert httpbin.post("/post", files={"f": ("name", b"content")}).json()["files"] == {"f": "content"}


def test_httpbin_redirects_cookies_and_auth(httpbin):
    answered = httpbin.get("/redirect/3")
    assert len(answered.history) == 3
    assert httpbin.get("/cookies/set", params={"a": "1"}).json()["cookies"] == {"a": "1"}
    assert httpbin.get("/basic-auth/u/p").status_code == 401
    assert httpbin.get("/basic-auth/u/p", auth=("u", "p")).json()["authenticated"]
    assert httpbin.get("/digest-auth/auth/u/p", auth=hither.DigestAuth("u", "p")).json()["authenticated"]


@pytest.mark.parametrize("path", ["/gzip", "/deflate", "/brotli"])
def test_httpbin_codings(httpbin, path):
    if path == "/brotli":
        pytest.importorskip("brotli")
    assert httpbin.get(path).json()[path[1:].replace("gzip", "gzipped").replace("deflate", "deflated")]


def test_httpbin_streams(httpbin):
    with httpbin.stream("GET", "/stream/5") as response:
        assert len(list(response.iter_lines())) == 5
    with httpbin.stream("GET", "/stream-bytes/100000", params={"chunk_size": 1000}) as response:
        assert sum(map(len, response.iter_bytes())) == 100_000
    assert len(httpbin.get("/bytes/1234").content) == 1234


@pytest.mark.parametrize("status", [204, 304, 404, 503])
def test_httpbin_status(httpbin, status):
    assert httpbin.get(f"/status/{status}").status_code == status
    assert httpbin.head(f"/status/{status}").content == b""
