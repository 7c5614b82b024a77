"""What a user sees of a request and its response, over every face, against a server that behaves."""

from __future__ import annotations

import datetime
import hashlib
import io
import itertools
import json

import pytest

import hither

pytestmark = pytest.mark.protocols("http1", "http2")

# -- one request


async def test_get(face, echo, protocol):
    async with face.client() as client:
        answered = await client.get(echo.url("/json"), params={"q": 1})
    assert answered.status_code == answered.status == 200
    assert answered.reason == answered.reason_phrase == "OK"
    assert answered.ok
    assert answered.is_success
    assert answered.json() == {"hello": "world", "numbers": [1, 2, 3]}
    assert answered.url == echo.url("/json?q=1")
    assert answered.http_version == protocol.version
    assert answered.request.method == "GET"
    assert answered.is_closed
    assert answered.is_stream_consumed
    assert answered.history == []
    assert answered.next_request is None
    assert answered.attempts == 1
    assert not answered.from_cache


@pytest.mark.parametrize("verb", ["get", "post", "put", "patch", "delete", "options", "query"])
async def test_verbs(face, echo, verb):
    async with face.client() as client:
        answered = await getattr(client, verb)(echo.url("/echo"))
    assert answered.json()["method"] == verb.upper()


async def test_a_post_without_a_body_says_so(face, echo):
    """RFC 9110 §8.6: Content-Length: 0 for methods that expect content; none for GET."""
    async with face.client() as client:
        posted = (await client.post(echo.url("/echo"))).json()["headers"]
        got = (await client.get(echo.url("/echo"))).json()["headers"]
    assert ["0"] == [value for name, value in posted if name.lower() == "content-length"]
    assert not [value for name, value in got if name.lower() == "content-length"]


async def test_default_fields(face, echo):
    async with face.client() as client:
        seen = dict((await client.get(echo.url("/headers"))).json())
    assert set(seen) == {"Host", "Accept", "Accept-Encoding", "Connection", "User-Agent"} or set(seen) == {
        "Host",
        "Accept",
        "Accept-Encoding",
        "User-Agent",
    }
    assert seen["Accept"] == "*/*"


async def test_a_default_field_can_be_replaced_and_left_out(face, echo):
    async with face.client(headers={"User-Agent": "mine/1"}) as client:
        replaced = dict((await client.get(echo.url("/headers"))).json())
        once = dict((await client.get(echo.url("/headers"), headers={"user-agent": "once"})).json())
        again = dict((await client.get(echo.url("/headers"))).json())
    assert replaced["User-Agent"] == again["User-Agent"] == "mine/1"
    assert {name.lower(): value for name, value in once.items()}["user-agent"] == "once"


async def test_what_the_user_wrote_is_sent_byte_for_byte(face, echo):
    async with face.client() as client:
        answered = await client.get(echo.url("/echo?b=%20&a=+&c&=%7E#fragment"))
    assert answered.json()["target"] == "/echo?b=%20&a=+&c&=%7E"
    assert answered.url.fragment == "fragment"


# -- bodies


async def test_bodies(face, echo, protocol):
    blob = bytes(range(256)) * 1000
    bodies = {
        "bytes": (blob, True),
        "file": (io.BytesIO(blob), True),
        "iterator": (face.body([blob[:1000], b"", blob[1000:]]), False),
        "str": ("ü" * 10, True),
    }
    async with face.client() as client:
        for kind, (content, known) in bodies.items():
            seen = (await client.post(echo.url("/echo"), content=content)).json()
            expected = "ü".encode() * 10 if kind == "str" else blob
            assert seen["length"] == len(expected), kind
            assert seen["sha256"] == hashlib.sha256(expected).hexdigest(), kind
            names = {name.lower() for name, _ in seen["headers"]}
            assert ("content-length" in names) == known, kind
            assert ("transfer-encoding" in names) == (not known and protocol.name == "http1"), kind


async def test_form_and_json(face, echo):
    async with face.client() as client:
        form = (await client.post(echo.url("/echo"), data={"a": "1 2", "b": ["x", "y"]})).json()
        sent = (await client.post(echo.url("/echo"), json={"a": "ü"})).json()
    assert form["body"] == "a=1+2&b=x&b=y"
    assert dict(form["headers"])["Content-Type"] == "application/x-www-form-urlencoded"
    assert json.loads(sent["body"].encode("latin-1")) == {"a": "ü"}
    assert dict(sent["headers"])["Content-Type"] == "application/json"


async def test_multipart_with_the_callers_boundary(face, echo):
    async with face.client() as client:
        answered = await client.post(
            echo.url("/echo"),
            files={"f": ("name.txt", b"content", "text/x", {"X-Part": "1"})},
            headers={"Content-Type": "multipart/form-data; boundary=mine"},
        )
    body = answered.json()["body"]
    assert body.startswith("--mine\r\n")
    assert 'name="f"; filename="name.txt"' in body
    assert "X-Part: 1\r\n" in body
    assert body.endswith("\r\ncontent\r\n--mine--\r\n")


@pytest.mark.parametrize(
    "wrong",
    [{"content": 5}, {"content": {"a": 1}}, {"data": {}, "json": {}, "content": b"x"}, {"files": b"x"}],
    ids=["int", "dict", "several", "files"],
)
async def test_a_body_of_the_wrong_kind_is_refused(face, echo, wrong):
    async with face.client() as client:
        with pytest.raises(TypeError):
            await client.post(echo.url("/echo"), **wrong)
    assert echo.answered == 0


@pytest.mark.faces("sync")
async def test_the_sync_client_refuses_an_async_body(face, echo):
    async def blocks():
        yield b"x"

    async with face.client() as client:
        with pytest.raises(TypeError):
            await client.post(echo.url("/echo"), content=blocks())


async def test_upload_progress(face, echo):
    taken = []

    def blocks():
        for number in range(5):
            taken.append(number)
            yield bytes(1000)

    async with face.client() as client:
        answered = await client.post(echo.url("/echo"), content=face.body(blocks()))
    assert answered.json()["length"] == 5000
    assert taken == [0, 1, 2, 3, 4]


# -- responses


@pytest.mark.parametrize("coding", ["gzip", "deflate", "raw-deflate", "br", "zstd"])
async def test_content_codings(face, echo, coding):
    async with face.client() as client:
        answered = await client.get(echo.url(f"/{coding}"))
    assert answered.json() == {"coding": coding}


async def test_trailers(face, echo):
    async with face.client() as client:
        answered = await client.get(echo.url("/stream/5"))
        assert answered.trailers["x-lines"] == "5"
        assert answered.trailers["x-sha256"] == hashlib.sha256(answered.content).hexdigest()
        async with client.stream("GET", echo.url("/stream/3")) as streamed:
            lines = [line async for line in streamed.aiter_lines()]
            assert streamed.trailers["x-lines"] == "3"
    assert lines == ["line 0", "line 1", "line 2"]


async def test_early_hints(face, echo):
    async with face.client() as client:
        answered = await client.get(echo.url("/early-hints"))
    assert answered.status_code == 200
    assert answered.text == "after the hints"
    assert "/style.css" in str(answered.early_hints)
    assert "/script.js" in str(answered.early_hints)


async def test_links(face, echo):
    async with face.client() as client:
        links = (await client.get(echo.url("/links"))).links
    assert links["next"]["url"] == "/page/2"
    assert links["last"]["title"] == "the end"


@pytest.mark.parametrize("charset", ["utf-8", "latin-1", "shift_jis", "utf-16"])
async def test_text_by_charset(face, echo, charset):
    text = "日本" if charset in ("shift_jis", "utf-16") else "größe"
    async with face.client() as client:
        answered = await client.get(echo.url("/text"), params={"charset": charset, "body": text})
        assert answered.text == text
        url = hither.URL(echo.url("/text"), params={"charset": charset, "body": text})
        async with client.stream("GET", url) as streamed:
            assert "".join([piece async for piece in streamed.aiter_text(1)]) == text


async def test_elapsed_timings_and_peer(face, echo):
    async with face.client() as client:
        answered = await client.get(echo.url("/json"))
    assert isinstance(answered.elapsed, datetime.timedelta)
    assert answered.elapsed > datetime.timedelta(0)
    for phase in "resolve connect tls pool send first_byte body".split():
        assert getattr(answered.timings, phase) is None or getattr(answered.timings, phase) >= 0
    assert str(echo.port) in str(answered.peer)
    assert answered.tls is None


async def test_tls_facts(face, echo_tls, authority_file):
    async with face.client(verify=authority_file) as client:
        answered = await client.get(echo_tls.url("/json"))
    assert answered.tls.version().startswith("TLSv1")


async def test_stream_consumed_and_closed(face, echo):
    async with face.client() as client:
        async with client.stream("GET", echo.url("/big/100000")) as streamed:
            async for _ in streamed.aiter_bytes():
                pass
            with pytest.raises(hither.StreamConsumed):
                async for _ in streamed.aiter_raw():
                    pass
        async with client.stream("GET", echo.url("/big/10000000")) as left:
            pass
        with pytest.raises(hither.StreamClosed):
            await left.aread()
        with pytest.raises(hither.ResponseNotRead):
            left.text  # noqa: B018


async def test_send_stream_true(face, echo):
    async with face.client() as client:
        answered = await client.send(client.build_request("GET", echo.url("/big/1000")), stream=True)
        assert not answered.is_closed
        assert len(await answered.aread()) == 1000
        await answered.aclose()
        assert answered.is_closed


async def test_raise_for_status_option(face, echo):
    async with face.client(raise_for_status=True) as client:
        with pytest.raises(hither.HTTPStatusError):
            await client.get(echo.url("/status/500"))
        assert (await client.get(echo.url("/status/404"), raise_for_status=False)).status_code == 404


async def test_decoded_limit(face, echo):
    async with face.client(max_response_bytes=1000) as client:
        assert len((await client.get(echo.url("/big/1000"))).content) == 1000
        with pytest.raises(hither.ResponseTooLarge):
            await client.get(echo.url("/big/1001"))


# -- redirects and cookies


async def test_history(face, echo):
    async with face.client() as client:
        answered = await client.get(echo.url("/redirect/3"))
    assert [past.url for past in answered.history] == [echo.url(f"/redirect/{left}") for left in (3, 2, 1)]
    assert answered.url == echo.url("/echo")


async def test_fragment_is_kept_over_redirects(face, echo):
    """RFC 9110 §10.2.2."""
    async with face.client() as client:
        answered = await client.get(echo.url("/redirect-to?url=/echo#part"))
        own = await client.get(echo.url("/redirect-to?url=/echo%23other#part"))
    assert answered.url.fragment == "part"
    assert own.url.fragment == "other"


async def test_a_redirect_to_another_scheme_is_refused(face, echo):
    async with face.client() as client:
        with pytest.raises(hither.UnsupportedProtocol):
            await client.get(echo.url("/redirect-to?url=file:///etc/passwd"))


async def test_cookies_of_the_jar(face, echo):
    async with face.client(cookies={"own": "1"}) as client:
        await client.get(
            echo.url("/set-cookie"), params={"c": ["a=1; Path=/cookies", "b=2; Path=/other", "c=3; Secure"]}
        )
        seen = (await client.get(echo.url("/cookies"))).json()
        after = (await client.get(echo.url("/cookies"), cookies={"once": "x"})).json()
        last = (await client.get(echo.url("/cookies"))).json()
    assert ["a", "1"] in seen
    assert ["own", "1"] in seen
    assert ["b", "2"] not in seen
    assert ["once", "x"] in after
    assert last == seen


async def test_a_cookie_set_on_the_way_is_sent_at_the_end(face, echo):
    async with face.client() as client:
        answered = await client.get(echo.url("/set-cookie"), params={"c": "way=1; Path=/", "to": "/cookies"})
    assert answered.json() == [["way", "1"]]


# -- auth


@pytest.mark.parametrize(
    ("qop", "algorithm"),
    [
        *itertools.product(["auth", "auth-int", "auth,auth-int"], ["MD5", "MD5-sess", "SHA-256", "SHA-256-sess"]),
        ("", "MD5"),  # RFC 2069: without qop there is no cnonce, so no -sess
    ],
)
async def test_digest(face, echo, algorithm, qop):
    async with face.client(auth=hither.DigestAuth("user", "secret")) as client:
        url = str(hither.URL(echo.url("/auth/digest"), params={"algorithm": algorithm, "qop": qop}))
        first = await client.post(url, content=b"body")
        second = await client.post(url, content=b"body")
    assert first.json()["length"] == 4
    assert second.status_code == 200
    assert echo.answered == 3, "the second request answers the challenge it knows"


async def test_auth_in_several_steps(face, echo):
    class TwoSteps(hither.Auth):
        def auth_flow(self, request):
            answered = yield request
            assert answered.status_code == 401
            request.headers["Authorization"] = "Bearer secret"
            yield request

    async with face.client() as client:
        answered = await client.get(echo.url("/auth/bearer"), auth=TwoSteps())
    assert answered.status_code == 200
    assert echo.answered == 2


async def test_auth_by_a_callable(face, echo):
    def sign(request):
        request.headers["Authorization"] = "Bearer secret"
        return request

    async with face.client(auth=sign) as client:
        assert (await client.get(echo.url("/auth/bearer"))).status_code == 200
        assert (await client.get(echo.url("/auth/bearer"), auth=None)).status_code == 401


async def test_auth_by_netrc(face, echo, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login user password secret\n")
    netrc.chmod(0o600)
    async with face.client(auth=hither.NetRCAuth(str(netrc))) as client:
        assert (await client.get(echo.url("/auth/basic"))).status_code == 200


# -- clients


async def test_connections_are_reused(face, echo):
    async with face.client() as client:
        seen = [(await client.get(echo.url("/echo"))).json() for _ in range(3)]
        await client.get(echo.url("/status/500"))
        await client.get(echo.url("/stream/3"))
        last = (await client.get(echo.url("/echo"))).json()
    assert [each["exchange"] for each in seen] == [0, 1, 2]
    assert last["exchange"] == 5
    assert len(echo.connections) == 1


async def test_base_url_headers_and_params_merge(face, echo):
    async with face.client(base_url=echo.url("/"), headers={"X-A": "1"}, params={"k": "v"}) as client:
        seen = (await client.get("echo", headers={"X-B": "2"}, params={"q": "1"})).json()
    assert seen["target"] == "/echo?k=v&q=1"
    assert {"X-A": "1", "X-B": "2"}.items() <= dict(seen["headers"]).items()


async def test_hooks(face, echo):
    seen: list[tuple[str, object]] = []
    hooks = {
        "request": [face.hook(lambda request: request.headers.__setitem__("X-Hook", "1"))],
        "response": [face.hook(lambda response: seen.append(("response", response.status_code)))],
        "redirect": [face.hook(lambda _: seen.append(("redirect", None)))],
    }
    async with face.client(event_hooks=hooks) as client:
        answered = await client.get(echo.url("/redirect/1"))
    assert dict(answered.json()["headers"])["X-Hook"] == "1"
    assert ("response", 200) in seen
    assert ("redirect", None) in [(kind, None) for kind, _ in seen]


async def test_unix_socket(face, echo_uds):
    async with face.client(uds=echo_uds.path) as client:
        seen = (await client.get("http://anywhere.example/echo")).json()
    assert dict(seen["headers"])["Host"] == "anywhere.example"


async def test_local_address(face, echo):
    async with face.client(local_address="127.0.0.2") as client:
        await client.get(echo.url("/json"))
        assert echo.connections[0].sock.getpeername()[0] == "127.0.0.2"


async def test_ipv6(face):
    import socket

    from servers.echo import EchoServer

    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with EchoServer(host="::1") as server:
        async with face.client() as client:
            seen = (await client.get(server.url("/echo"))).json()
    assert dict(seen["headers"])["Host"] == f"[::1]:{server.port}"


async def test_verify(face, echo_tls, authority_file, authority, protocol):
    import ssl

    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2" if protocol.name == "http2" else "http/1.1"])
    authority.configure_trust(context)
    for verify in (authority_file, context, False):
        async with face.client(verify=verify) as client:
            for host in ("127.0.0.1", "localhost"):
                url = echo_tls.url("/json").replace("127.0.0.1", host)
                assert (await client.get(url)).status_code == 200
    async with face.client() as client:
        with pytest.raises(hither.TLSError):
            await client.get(echo_tls.url("/json"))


async def test_mock_transport_and_mounts(face, echo):
    def handler(request):
        return hither.Response(200, json={"host": request.url.host, "body": request.content.decode()})

    mock = hither.MockTransport(handler)
    async with face.client(mounts={"https://*.example.org": mock}) as client:
        mocked = await client.post("https://api.example.org/x", content=b"hi")
        real = await client.get(echo.url("/json"))
    assert mocked.json() == {"host": "api.example.org", "body": "hi"}
    assert real.json()["hello"] == "world"


async def test_slow_answers_and_phases(face, echo):
    async with face.client(timeout=hither.Timeout(read=0.15)) as client:
        with pytest.raises(hither.ReadTimeout) as caught:
            await client.get(echo.url("/slow"))
        assert isinstance(caught.value, TimeoutError)
        echo.release.set()
        assert (await client.get(echo.url("/slow"), timeout=None)).text == "at last"


async def test_total_covers_redirects(face, echo):
    async with face.client(timeout=hither.Timeout(total=0.3)) as client:
        with pytest.raises(hither.TotalTimeout):
            await client.get(echo.url("/redirect-to?url=/slow"))


async def test_concurrent_requests_each_get_their_own_answer(face, echo):
    async with face.client(limits=hither.Limits(max_connections=10)) as client:

        async def ask(number):
            return (await client.get(echo.url(f"/echo?{number}"))).json()["target"]

        assert await face.gather(*(ask(n) for n in range(100))) == [f"/echo?{n}" for n in range(100)]
    assert len(echo.connections) <= 10


async def test_limits_per_host(face, echo):
    limits = hither.Limits(max_connections=10, max_connections_per_host=2)
    async with face.client(limits=limits) as client:
        await face.gather(*(client.get(echo.url("/json")) for _ in range(30)))
    assert len(echo.connections) <= 2


async def test_a_closed_client_refuses(face, echo):
    async with face.client() as client:
        await client.get(echo.url("/json"))
        await client.aclose()
        with pytest.raises(RuntimeError):
            await client.get(echo.url("/json"))


@pytest.mark.protocols("http1")  # what the default client takes for http://
@pytest.mark.keeps_sockets("the default client is never closed")
def test_top_level_functions(echo):
    assert hither.get(echo.url("/json")).json()["hello"] == "world"
    assert hither.post(echo.url("/echo"), json=[1]).json()["body"] == "[1]"
    with hither.stream("GET", echo.url("/stream/2")) as streamed:
        assert list(streamed.iter_lines()) == ["line 0", "line 1"]
    hither.get(echo.url("/set-cookie?c=a%3D1"))
    assert hither.get(echo.url("/cookies")).json() == [], "the default client keeps no cookies"


@pytest.mark.parametrize(
    "url",
    ["", "example.org", "http://", "http:///x", "http://a b/", "http://h:99999/", "http://[::1/", "//x/y"],
)
async def test_bad_urls(face, url):
    async with face.client() as client:
        with pytest.raises((hither.InvalidURL, hither.UnsupportedProtocol)):
            await client.get(url)


@pytest.mark.parametrize("url", ["ftp://example.org/", "mailto:a@b", "data:,x"])
async def test_unsupported_schemes(face, url):
    async with face.client() as client:
        with pytest.raises(hither.UnsupportedProtocol):
            await client.get(url)


async def test_passwords_are_masked_in_errors(face, raw):
    from servers.raw import close, request

    with raw([request(), close]) as server:
        async with face.client() as client:
            with pytest.raises(hither.RemoteProtocolError) as caught:
                await client.get(server.url("/x").replace("http://", "http://user:hunter2@"))
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(caught.value)
