"""Where a redirect leads, and what may travel there (RFC 9110 §15.4, as browsers apply it)."""

from __future__ import annotations

from functools import lru_cache

from hither._errors import InvalidURL, RemoteProtocolError, StreamConsumed
from hither._url import URL

from .._patterns import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hither._request import Request
    from hither._response import Response

# 300 asks for a choice, 304 and 305 are no redirects, and 306 is unused (RFC 9110 §15.4).
_REDIRECTS = frozenset((301, 302, 303, 307, 308))

# What describes a body that is no longer sent (RFC 9110 §15.4; Fetch "request-body-header name").
_BODY_FIELDS = frozenset(
    (
        b"content-digest",
        b"content-disposition",
        b"content-encoding",
        b"content-language",
        b"content-length",
        b"content-location",
        b"content-md5",
        b"content-range",
        b"content-type",
        b"digest",
        b"expect",
        b"repr-digest",
        b"trailer",
        b"transfer-encoding",
    )
)

# Credentials, and the name of the host that they were for.
_ORIGIN_FIELDS = frozenset((b"authorization", b"cookie", b"proxy-authorization", b"host"))

_NOTHING: frozenset[bytes] = frozenset()

# Locations resolved before: an address that moved sends everybody to the same place. Longer ones (characters) are rare.
_MAX_KNOWN = 256
_MAX_KNOWN_TEXT = 1024
_known_join = lru_cache(_MAX_KNOWN)(URL.join)

_CREDENTIALS = pattern(r"//[^/?#]*@")


def redirect_request(request: Request, response: Response) -> Request | None:
    """The request that follows from this response to that request, or `None` when it is no redirect.

    Credentials stay with their origin: `Authorization`, `Cookie`, `Proxy-Authorization` and a `Host` of the
    user's are dropped when scheme, host or port change, from http to https on the same host too. Raises
    `RemoteProtocolError` for a Location that is no URL, and `StreamConsumed` when the body would have to be
    sent again and cannot be (RFC 9110 §15.4.8 and §15.4.9 keep it).

    >>> import hither
    >>> request = hither.Request("POST", "https://example.org/form#top", data={"a": "1"})
    >>> response = hither.Response(303, headers={"Location": "/done"})
    >>> redirect_request(request, response)
    <Request [GET https://example.org/done#top]>
    """
    if response.status_code not in _REDIRECTS:
        return None
    url = _target(request.url, response.headers.get_list("location"))
    if url is None:
        return None
    method = _next_method(request.method, response.status_code)
    body = request.body
    without = _NOTHING
    if method != request.method or response.status_code == 303:
        # RFC 9110 §15.4.4: what follows a 303 is a plain retrieval.
        body = None
        without = _BODY_FIELDS
    elif body is not None and not isinstance(body, bytes) and body.consumed and not body.replayable:
        raise StreamConsumed(
            f"status {response.status_code} asks to send the body again to {url.masked}, but it came from an "
            "iterator that is used up; pass bytes, a file, or a list",
            request=request,
        )
    if not is_same_origin(request.url, url):
        without |= _ORIGIN_FIELDS
    return request.replaced(method=method, url=url, body=body, without=without)


def is_same_origin(a: URL, b: URL) -> bool:
    """Whether scheme, host and port are the same (RFC 6454 §5).

    >>> from hither import URL
    >>> is_same_origin(URL("https://example.org/a"), URL("https://EXAMPLE.org:443/b"))
    True
    >>> is_same_origin(URL("http://example.org"), URL("https://example.org"))
    False
    """
    return a.key == b.key


def _next_method(method: str, status: int) -> str:
    if status == 303:  # RFC 9110 §15.4.4
        return method if method == "HEAD" else "GET"
    if status in (301, 302) and method == "POST":  # RFC 9110 §15.4.2, §15.4.3: all clients do
        return "GET"
    return method


def _target(base: URL, locations: list[str]) -> URL | None:
    if not locations or not locations[0]:
        return None  # without a Location there is nowhere to go; browsers treat an empty one alike
    location = locations[0]
    if len(locations) > 1 and any(other != location for other in locations):
        # RFC 9110 §10.2.2: one value. Which of two is meant nobody knows, so Chrome refuses them as well.
        raise RemoteProtocolError("the redirect names several different Locations")
    try:
        join = _known_join if len(base) + len(location) <= _MAX_KNOWN_TEXT else URL.join
        url = join(base, location)
        if "#" in url or "#" not in base:
            return url
        # RFC 9110 §10.2.2: the old fragment stays when the new URL has none.
        return url.join("#" + base.partition("#")[2])
    except InvalidURL as error:
        shown = _CREDENTIALS.sub("//***@", location[:200])
        raise RemoteProtocolError(f"the redirect's Location {shown!r} is no URL: {error}") from error
