"""Where a redirect leads, and what may travel there."""

from __future__ import annotations

from typing import Any

import pytest

from hither import Client
from hither._errors import RemoteProtocolError, StreamConsumed
from hither._request import Request
from hither._response import Response
from hither._url import URL
from hither.policy.redirect import is_same_origin, redirect_request

BODY_FIELDS = {
    "Content-Type": "text/plain",
    "Content-Language": "en",
    "Content-Location": "/x",
    "Content-Encoding": "gzip",
    "Expect": "100-continue",
    "Trailer": "X",
    "Digest": "md5=x",
    "Content-Digest": "x",
    "Repr-Digest": "x",
}


def follow(
    location: str | bytes | list[str],
    *,
    status: int = 302,
    method: str = "GET",
    url: str = "https://example.org/a/b?q=1",
    **request: Any,
) -> Request | None:
    asked = Request(method, url, **request)
    return redirect_request(asked, Response(status, headers={"Location": location}, request=asked))


@pytest.mark.parametrize("status", [200, 201, 300, 304, 305, 306, 309, 401])
def test_other_statuses_are_no_redirects(status):
    assert follow("/x", status=status) is None


def test_without_a_location_there_is_nowhere_to_go():
    request = Request("GET", "https://example.org")
    assert redirect_request(request, Response(302, request=request)) is None
    assert follow("") is None


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/x", "https://example.org/x"),
        ("x?y=2", "https://example.org/a/x?y=2"),
        ("../../x", "https://example.org/x"),
        ("?z", "https://example.org/a/b?z"),
        ("//other.example/x", "https://other.example/x"),
        ("http://example.org:8080", "http://example.org:8080"),
        ("/a b", "https://example.org/a%20b"),
        ("/%7e/%zz", "https://example.org/%7e/%25zz"),
        ("/caf\u00e9".encode(), "https://example.org/caf%C3%A9"),
        ("/caf\u00e9".encode("latin-1"), "https://example.org/caf%C3%A9"),
        ("https://b\u00fccher.example/".encode(), "https://xn--bcher-kva.example/"),
        ("mailto:a@example.org", "mailto:a@example.org"),
    ],
)
def test_locations_are_resolved_against_the_url(location, expected):
    assert follow(location).url == expected


def test_fragment_is_kept_when_the_new_url_has_none():
    assert follow("/x", url="https://example.org/a#t%20op").url == "https://example.org/x#t%20op"
    assert follow("/x#new", url="https://example.org/a#top").url == "https://example.org/x#new"
    assert follow("/x#", url="https://example.org/a#top").url == "https://example.org/x#"
    assert follow("https://other.example/x?q", url="https://example.org/#top").url == "https://other.example/x?q#top"


@pytest.mark.parametrize("location", ["https://[::1/", "https://u:secret@example.org:99999/", "https://", "/a\x01b"])
def test_an_illegal_location_is_the_servers_fault(location):
    with pytest.raises(RemoteProtocolError) as caught:
        follow(location)
    assert "Location" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_several_locations():
    assert follow(["/x", "/x"]).url == "https://example.org/x"
    with pytest.raises(RemoteProtocolError, match="several"):
        follow(["/x", "/y"])


@pytest.mark.parametrize(
    ("status", "method", "expected"),
    [
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "POST", "GET"),
        (307, "POST", "POST"),
        (308, "POST", "POST"),
        (301, "PUT", "PUT"),
        (302, "PATCH", "PATCH"),
        (303, "PUT", "GET"),
        (303, "DELETE", "GET"),
        (303, "HEAD", "HEAD"),
        (302, "HEAD", "HEAD"),
        (301, "QUERY", "QUERY"),
        (303, "QUERY", "GET"),
    ],
)
def test_method(status, method, expected):
    assert follow("/x", status=status, method=method).method == expected


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_dropped_body_takes_its_fields_along(status):
    request = follow("/x", status=status, method="POST", content=b"abc", headers={**BODY_FIELDS, "X-Kept": "1"})
    assert request.body is None
    names = set(request.headers)
    assert names == {"host", "x-kept"}


def test_chunked_body_takes_transfer_encoding_along():
    request = follow("/x", status=303, method="POST", content=iter([b"abc"]))
    assert request.body is None
    assert "transfer-encoding" not in request.headers


@pytest.mark.parametrize("status", [307, 308])
def test_a_kept_body_keeps_its_fields(status):
    request = follow("https://other.example/x", status=status, method="POST", json={"a": 1})
    assert request.body == b'{"a":1}'
    assert request.headers["content-type"] == "application/json"
    assert request.headers["content-length"] == "7"


def test_a_used_up_body_is_not_sent_again_empty():
    request = Request("POST", "https://example.org/", content=iter([b"abc"]))
    response = Response(307, headers={"Location": "/x"}, request=request)
    assert redirect_request(request, response).body is request.body, "not sent yet: it still can be"
    list(request.body)
    with pytest.raises(StreamConsumed, match="iterator"):
        redirect_request(request, response)
    assert redirect_request(request, Response(303, headers={"Location": "/x"})).body is None


def test_a_list_of_pieces_can_be_sent_again():
    request = Request("POST", "https://example.org/", content=[b"abc", b"def"])
    list(request.body)
    assert redirect_request(request, Response(307, headers={"Location": "/x"})).body is request.body


CREDENTIALS = {"Authorization": "Bearer t", "Cookie": "a=1", "Proxy-Authorization": "Basic x", "Host": "front.example"}


@pytest.mark.parametrize(
    "location",
    [
        "https://other.example/",
        "https://www.example.org/",
        "http://example.org/",
        "https://example.org:8443/",
        "//other.example/",
        "https://example.org./",
    ],
)
def test_credentials_never_cross_an_origin(location):
    request = follow(location, headers={**CREDENTIALS, "X-Kept": "1"})
    names = set(request.headers)
    assert "x-kept" in names
    assert names.isdisjoint({"authorization", "cookie", "proxy-authorization"})
    assert request.headers.get("host", request.url.host_header.decode()) == request.url.host_header.decode()


def test_upgrade_to_https_is_another_origin():
    request = follow("https://example.org/", url="http://example.org/", headers=CREDENTIALS)
    assert "authorization" not in request.headers


@pytest.mark.parametrize("location", ["/x", "https://example.org/x", "https://EXAMPLE.org:443/x", "//example.org/x"])
def test_the_same_origin_keeps_credentials(location):
    request = follow(location, headers=CREDENTIALS)
    for name, value in CREDENTIALS.items():
        assert request.headers[name] == value


def test_the_jars_cookie_is_left_to_the_jar():
    request = Request("GET", "https://example.org/login")
    request.add_cookies("session=old")
    response = Response(302, headers={"Location": "/", "Set-Cookie": "session=new"}, request=request)
    following = redirect_request(request, response)
    assert "cookie" not in following.headers
    following.add_cookies("session=new")
    assert following.headers["cookie"] == "session=new"
    assert request.headers["cookie"] == "session=old", "the request that was sent stays as it was"


def test_the_old_request_is_left_alone():
    request = Request("POST", "https://example.org/", content=b"x", headers={"Authorization": "a"})
    redirect_request(request, Response(303, headers={"Location": "https://other.example"}))
    assert request.headers["authorization"] == "a"
    assert request.headers["content-length"] == "1"
    assert request.body == b"x"


def test_userinfo_in_the_location_belongs_to_that_url():
    request = follow("https://u:secret@other.example/")
    assert request.url.userinfo == b"u:secret"
    assert "authorization" not in request.headers
    after = redirect_request(request, Response(302, headers={"Location": "https://third.example/"}))
    assert after.url.userinfo == b""


@pytest.mark.parametrize("status", [301, 303, 307])
@pytest.mark.parametrize("location", ["/x", "https://other.example/x"])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("client_headers", [{}, CREDENTIALS, {"Expect": "100-continue", "X-Client": "1"}])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"content": b"abc"},
        {"headers": {**CREDENTIALS, "X-Kept": "1", "Content-Language": "en"}},
        {"headers": {"X-Client": "2"}, "content": b"abc"},
    ],
)
def test_fields_travel_alike_whether_or_not_somebody_looked_at_them(status, location, method, client_headers, options):
    def sent(*, looked_at: bool) -> list[bytes]:
        with Client(headers=client_headers) as client:
            request = client.build_request(method, "https://example.org/a", **options)
        request.add_cookies("jar=1")
        if looked_at:
            assert request.headers
        response = Response(status, headers={"Location": location}, request=request)
        following = redirect_request(request, response)
        assert b"jar=1" not in following.head()
        return sorted(following.head().split(b"\r\n"))

    assert sent(looked_at=False) == sent(looked_at=True)


def test_resolving_again_gives_the_same():
    for location in ("/x", "/x", "../y", "/" + "z" * 2000):
        for url in ("https://example.org/a/b", "https://u:p@example.org/a/b"):
            assert follow(location, url=url).url == URL(url).join(location)


def test_extensions_stay():
    assert follow("/x", extensions={"trace": 1}).extensions == {"trace": 1}


def test_same_origin():
    assert is_same_origin(URL("http://example.org"), URL("http://example.org:80/x"))
    assert not is_same_origin(URL("http://example.org"), URL("http://example.org:8080"))
    assert not is_same_origin(URL("http://example.org"), URL("http://example.com"))
