# pyright: strict
"""Uses the whole public surface as a user would; checked by pyright in strict mode, never run.

Where a type matters, `assert_type` says which one a user sees.
"""

from __future__ import annotations

import datetime
import io
import ssl
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any, assert_type

import hither


def top_level(url: str) -> None:
    assert_type(hither.get(url, params={"q": 1, "many": ["a", "b"]}), hither.Response)
    assert_type(hither.post(url, json={"a": [1, None]}), hither.Response)
    assert_type(hither.put(url, content=b"bytes"), hither.Response)
    assert_type(hither.patch(url, data={"a": "1", "b": ["2", "3"]}), hither.Response)
    assert_type(hither.delete(url), hither.Response)
    assert_type(hither.head(url), hither.Response)
    assert_type(hither.options(url), hither.Response)
    assert_type(hither.query(url, content="q"), hither.Response)
    assert_type(hither.request("GET", url), hither.Response)
    with hither.stream("GET", url) as response:
        assert_type(response, hither.Response)


def options(client: hither.Client, url: hither.URL) -> None:
    client.post(
        url,
        params=[("a", 1), ("b", None)],
        headers={"X-A": "1"},
        cookies={"c": "d"},
        data={"field": "value"},
        files={"f": ("name", io.BytesIO(b""), "text/plain", {"X-Part": "1"}), "g": b"bytes"},
        auth=("user", "password"),
        timeout=(3.0, 10),
        follow_redirects=True,
        max_redirects=5,
        extensions={"trace": None},
    )
    client.get(url, headers=[("X-A", "1"), ("X-A", "2")], timeout=None, auth=None)
    client.get(url, timeout=hither.Timeout(connect=1, read=2.5, total=None))
    client.put(url, content=iter([b"a", b"b"]))
    client.put(url, content=io.BytesIO(b"file"))


def on_request(request: hither.Request) -> None:
    request.headers["X-Seen"] = "1"


def sync_client(context: ssl.SSLContext, transport: hither.BaseTransport) -> None:
    with hither.Client(
        base_url="https://example.org",
        headers={"X-A": "1"},
        cookies=hither.Cookies(),
        params={"key": "value"},
        auth=hither.BearerAuth("token"),
        timeout=5,
        follow_redirects=False,
        max_redirects=3,
        limits=hither.Limits(max_connections=10, max_connections_per_host=2, keepalive_expiry=5.0),
        verify=context,
        cert=("cert.pem", "key.pem"),
        trust_env=False,
        transport=transport,
        mounts={"https://*.example.org": transport},
        event_hooks={"request": [on_request], "response": [print]},
        local_address="127.0.0.1",
        max_response_bytes=10_000_000,
        default_encoding="utf-8",
    ) as client:
        assert_type(client, hither.Client)
        request = client.build_request("GET", "/path")
        assert_type(request, hither.Request)
        request.headers["X-B"] = "2"
        assert_type(client.send(request, stream=False), hither.Response)
        with client.stream("GET", "/big") as response:
            for chunk in response.iter_bytes(1024):
                assert_type(chunk, bytes)
            for piece in response.iter_raw():
                assert_type(piece, bytes)
            for text in response.iter_text():
                assert_type(text, str)
            for line in response.iter_lines():
                assert_type(line, str)
        assert_type(client.cookies, hither.Cookies)
        assert_type(client.headers, hither.Headers)
        client.cookies.save("cookies.json")
        client.cookies.load("cookies.json")
        assert_type(client.cookies.records(), list[hither.Cookie])


async def async_client(url: str) -> None:
    async def blocks() -> AsyncIterator[bytes]:
        yield b"block"

    async with hither.AsyncClient(limits=hither.Limits(), uds="/run/socket", verify=False) as client:
        assert_type(client, hither.AsyncClient)
        assert_type(await client.get(url), hither.Response)
        assert_type(await client.post(url, content=blocks()), hither.Response)
        assert_type(await client.put(url, json=None), hither.Response)
        assert_type(await client.patch(url), hither.Response)
        assert_type(await client.delete(url), hither.Response)
        assert_type(await client.head(url), hither.Response)
        assert_type(await client.options(url), hither.Response)
        assert_type(await client.query(url), hither.Response)
        assert_type(await client.request("PURGE", url), hither.Response)
        request = client.build_request("GET", url)
        response = await client.send(request, stream=True)
        assert_type(await response.aread(), bytes)
        await response.aclose()
        async with client.stream("GET", url) as streamed:
            async for chunk in streamed.aiter_bytes():
                assert_type(chunk, bytes)
            async for piece in streamed.aiter_raw():
                assert_type(piece, bytes)
            async for text in streamed.aiter_text():
                assert_type(text, str)
            async for line in streamed.aiter_lines():
                assert_type(line, str)
    await client.aclose()


def response_fields(response: hither.Response) -> None:
    assert_type(response.status_code, int)
    assert_type(response.status, int)
    assert_type(response.reason, str)
    assert_type(response.reason_phrase, str)
    checks = [
        response.ok,
        response.is_success,
        response.is_informational,
        response.is_redirect,
        response.is_client_error,
        response.is_server_error,
        response.is_error,
        response.is_closed,
        response.is_stream_consumed,
        response.from_cache,
    ]
    assert_type(checks, list[bool])
    assert_type(response.headers, hither.Headers)
    assert_type(response.url, hither.URL)
    assert_type(response.http_version, str)
    assert_type(response.content, bytes)
    assert_type(response.text, str)
    assert_type(response.encoding, str | None)
    assert_type(response.charset_encoding, str | None)
    assert_type(response.json(), Any)
    assert_type(response.cookies, hither.Cookies)
    assert_type(response.history, list[hither.Response])
    assert_type(response.elapsed, datetime.timedelta)
    assert_type(response.request, hither.Request)
    assert_type(response.next_request, hither.Request | None)
    assert_type(response.trailers, hither.Headers)
    assert_type(response.raise_for_status(), hither.Response)
    assert_type(response.read(), bytes)
    assert_type(response.num_bytes_downloaded, int)
    assert_type(response.attempts, int)
    for hint in response.early_hints:
        print(hint)
    for name, link in response.links.items():
        print(name, link)
    assert_type(response.timings, hither.Timings | None)
    print(response.peer, response.tls)
    response.close()


def urls() -> None:
    url = hither.URL("https://user:secret@example.org:8443/a/b?c=d#e")
    text: str = url
    assert_type(url.scheme, str)
    assert_type(url.host, str)
    assert_type(url.port, int | None)
    assert_type(url.path, str)
    assert_type(url.raw_path, bytes)
    assert_type(url.query, bytes)
    assert_type(url.params, hither.QueryParams)
    assert_type(url.fragment, str)
    assert_type(url.userinfo, bytes)
    assert_type(url.origin, str)
    assert_type(url.join("../x"), hither.URL)
    assert_type(url.copy_with(scheme="http", port=None), hither.URL)
    assert_type(hither.URL(text, params={"a": 1}), hither.URL)


def headers() -> None:
    fields = hither.Headers([("Accept", "a"), ("Accept", "b")])
    assert_type(fields["accept"], str)
    assert_type(fields.get("accept"), str | None)
    assert_type(fields.get_list("accept"), list[str])
    assert_type(fields.multi_items(), list[tuple[str, str]])
    assert_type(fields.raw, list[tuple[bytes, bytes]])
    fields["X"] = "1"
    del fields["X"]


class TokenAuth(hither.Auth):
    def auth_flow(self, request: hither.Request) -> Generator[hither.Request, hither.Response, None]:
        request.headers["X-Token"] = "t"
        response = yield request
        if response.status_code == 401:
            yield request


def auths() -> list[hither.Auth]:
    def sign(request: hither.Request) -> hither.Request:
        request.headers["X-Signature"] = "s"
        return request

    return [
        TokenAuth(),
        hither.BasicAuth("user", "password"),
        hither.DigestAuth("user", "password"),
        hither.BearerAuth("token"),
        hither.NetRCAuth(),
        hither.FunctionAuth(sign),
    ]


class Canned(hither.BaseTransport):
    def handle_request(self, request: hither.Request) -> hither.Response:
        return hither.Response(200, json={"path": request.url.path}, request=request)


class AsyncCanned(hither.AsyncBaseTransport):
    async def handle_async_request(self, request: hither.Request) -> hither.Response:
        return hither.Response(200, text="hello", headers={"X": "1"}, request=request)


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
    start_response("200 OK", [])
    yield b"hello"


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


def transports() -> None:
    def handler(request: hither.Request) -> hither.Response:
        return hither.Response(200, content=request.content)

    with hither.Client(transport=hither.MockTransport(handler)) as client:
        client.get("http://example.org/")
    hither.Client(transport=Canned())
    hither.Client(transport=hither.WSGITransport(wsgi))
    hither.Client(transport=hither.HTTPTransport())
    hither.AsyncClient(transport=AsyncCanned())
    hither.AsyncClient(transport=hither.ASGITransport(asgi))
    hither.AsyncClient(transport=hither.AsyncHTTPTransport())
    hither.AsyncClient(transport=hither.MockTransport(handler))


def errors(url: str) -> None:
    try:
        hither.get(url).raise_for_status()
    except hither.HTTPStatusError as error:
        assert_type(error.response, hither.Response)
    except (
        hither.ConnectTimeout,
        hither.ReadTimeout,
        hither.WriteTimeout,
        hither.PoolTimeout,
        hither.TotalTimeout,
    ) as error:
        late: TimeoutError = error
        print(late)
    except (hither.NameResolutionError, hither.TLSError, hither.ConnectError, hither.ReadError) as error:
        assert_type(error.request, hither.Request)
    except (hither.WriteError, hither.CloseError, hither.NetworkError):
        pass
    except (hither.LocalProtocolError, hither.RemoteProtocolError, hither.ProtocolError, hither.ProxyError):
        pass
    except (hither.DecodingError, hither.ResponseTooLarge, hither.TooManyRedirects, hither.CircuitOpen):
        pass
    except (hither.WebSocketUpgradeError, hither.WebSocketDisconnect, hither.WebSocketError):
        pass
    except (hither.StreamConsumed, hither.StreamClosed, hither.ResponseNotRead, hither.RequestNotRead):
        pass
    except hither.InvalidURL as error:
        wrong: ValueError = error
        print(wrong)
    except (hither.UnsupportedProtocol, hither.StreamError, hither.TransportError, hither.RequestError):
        pass
    except hither.HTTPError as error:
        print(error.request)
