"""Which transport serves which URL, as HTTPX routes it, and when transports are closed."""

from __future__ import annotations

import pytest

import hither
from hither._mounts import Mounts, Pattern

YES = [
    ("all://", "http://example.org/"),
    ("all://", "https://example.org:8443/x"),
    ("all://*", "https://example.org/"),
    ("https://", "https://example.org/"),
    ("HTTPS://Example.ORG", "https://example.org/"),
    ("http://example.org", "http://example.org/"),
    ("http://example.org/", "http://example.org/"),
    ("http://example.org", "http://example.org:123/"),
    ("http://example.org:123", "http://example.org:123/"),
    ("https://example.org:443", "https://example.org/"),
    ("all://example.org:443", "https://example.org/"),
    ("all://*:8080", "http://any.example:8080/"),
    ("all://*.example.org", "https://a.example.org/"),
    ("all://*.example.org", "https://b.a.example.org/"),
    ("all://*example.org", "https://example.org/"),
    ("all://*example.org", "https://a.example.org/"),
    ("all://[::1]", "http://[::1]/"),
    ("all://[::1]:8000", "http://[::1]:8000/"),
    ("all://127.0.0.1", "http://127.0.0.1:5000/"),
    ("all://bücher.example", "https://xn--bcher-kva.example/"),
    ("all://*.bücher.example", "https://a.bücher.example/"),
    ("foo://", "foo://example.org/"),
]
NO = [
    ("https://", "http://example.org/"),
    ("http://example.org", "http://other.example/"),
    ("http://example.org", "http://a.example.org/"),
    ("http://example.org:123", "http://example.org/"),
    ("http://example.org:123", "http://example.org:456/"),
    ("https://example.org:443", "https://example.org:8443/"),
    ("all://*.example.org", "https://example.org/"),
    ("all://*.example.org", "https://.example.org/"),
    ("all://*.example.org", "https://anexample.org/"),
    ("all://*example.org", "https://anexample.org/"),
    ("all://[::1]:8000", "http://[::1]/"),
    ("all://*:8080", "http://any.example/"),
]


@pytest.mark.parametrize(("pattern", "url"), YES)
def test_matches(pattern, url):
    assert Pattern(pattern).matches(hither.URL(url))


@pytest.mark.parametrize(("pattern", "url"), NO)
def test_does_not_match(pattern, url):
    try:
        parsed = hither.URL(url)
    except hither.InvalidURL:
        return
    assert not Pattern(pattern).matches(parsed)


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "all",
        "https",
        "example.org",
        "://x",
        "https://example.org/path",
        "https://u@example.org",
        "all://x:y",
        "all://x:99999",
    ],
)
def test_what_is_no_pattern(pattern):
    with pytest.raises(ValueError):
        Pattern(pattern)


ORDER = [
    "all://",
    "http://",
    "all://*.example.org",
    "http://*.example.org",
    "http://a.example.org",
    "http://a.example.org:123",
]


@pytest.mark.parametrize("given", [ORDER, ORDER[::-1]])
def test_the_most_telling_pattern_wins(given):
    mounts = Mounts({pattern: pattern for pattern in given}, None)

    def route(url):
        return mounts.route(hither.URL(url))

    assert route("https://other.example/") == "all://"
    assert route("http://other.example/") == "http://"
    assert route("https://b.example.org/") == "all://*.example.org"
    assert route("http://b.example.org/") == "http://*.example.org"
    assert route("http://a.example.org/") == "http://a.example.org"
    assert route("http://a.example.org:123/") == "http://a.example.org:123"


def test_a_host_in_full_wins_over_a_wildcard_that_is_longer():
    mounts = Mounts({"all://*example.org": "wildcard", "all://example.org": "exact"}, None)
    assert mounts.route(hither.URL("http://example.org/")) == "exact"
    assert mounts.route(hither.URL("http://a.example.org/")) == "wildcard"


def test_a_port_wins_over_a_host():
    """As in HTTPX."""
    mounts = Mounts({"all://example.org": "host", "all://*:8080": "port"}, None)
    assert mounts.route(hither.URL("http://example.org:8080/")) == "port"


def answers(text):
    return hither.MockTransport(lambda request: hither.Response(200, text=text))


async def test_none_is_for_the_clients_own_connections(face, echo):
    async with face.client(mounts={"all://": answers("mock"), f"http://127.0.0.1:{echo.port}": None}) as client:
        assert (await client.get(echo.url("/json"))).json()["hello"] == "world"
        assert (await client.get("http://127.0.0.1:1/")).text == "mock"


async def test_none_is_for_the_transport_that_was_given(face):
    mounts = {"all://": answers("all"), "http://special.example": None}
    async with face.client(transport=answers("default"), mounts=mounts) as client:
        assert (await client.get("http://special.example/")).text == "default"
        assert (await client.get("http://other.example/")).text == "all"


async def test_a_redirect_is_routed_anew(face):
    first = hither.MockTransport(lambda r: hither.Response(302, headers={"Location": "https://b.example/"}))
    async with face.client(mounts={"https://a.example": first, "https://b.example": answers("b")}) as client:
        assert (await client.get("https://a.example/")).text == "b"


class Counting(hither.BaseTransport, hither.AsyncBaseTransport):
    def __init__(self, fails=False):
        self.closed = 0
        self.fails = fails

    def close(self):
        self.closed += 1
        if self.fails:
            raise OSError("cannot close")

    async def aclose(self):
        self.close()


async def test_transports_are_closed_once_with_the_client(face):
    twice, once, default = Counting(), Counting(), Counting()
    mounts = {
        "http://a.example": twice,
        "http://b.example": twice,
        "http://c.example": once,
        "http://d.example": None,
    }
    async with face.client(transport=default, mounts=mounts) as client:
        assert [each.closed for each in (twice, once, default)] == [0, 0, 0]
        await client.aclose()
    assert [each.closed for each in (twice, once, default)] == [1, 1, 1]


@pytest.mark.parametrize("option", ["transport", "mounts"])
def test_a_transport_of_the_wrong_face(option):
    class Sync(hither.BaseTransport):
        pass

    class Async(hither.AsyncBaseTransport):
        pass

    def given(transport):
        return {option: transport if option == "transport" else {"all://": transport}}

    with pytest.raises(TypeError, match="handle_request"):
        hither.Client(**given(Async()))
    with pytest.raises(TypeError, match="handle_async_request"):
        hither.AsyncClient(**given(Sync()))
