"""The client against servers that nobody here wrote: httpbin under gunicorn and hypercorn, and Debian's nginx."""

from __future__ import annotations

import hashlib
import io
import json

import pytest

import hither

pytestmark = pytest.mark.protocols("http1", "http2")

# -- httpbin: verbs, bodies, headers


@pytest.mark.parametrize("verb", ["get", "post", "put", "patch", "delete"])
async def test_verbs(face, httpbin, verb):
    async with face.client() as client:
        answered = await getattr(client, verb)(httpbin.url(f"/{verb}"), params={"q": ["1", "2"], "x": "a b&c"})
    assert answered.status_code == 200
    assert answered.json()["args"] == {"q": ["1", "2"], "x": "a b&c"}


async def test_head_and_options(face, httpbin):
    async with face.client() as client:
        headed = await client.head(httpbin.url("/get"))
        offered = await client.options(httpbin.url("/get"))
    assert (headed.status_code, headed.content) == (200, b"")
    assert int(headed.headers["Content-Length"]) > 0
    assert "GET" in offered.headers["Allow"]


async def test_bodies(face, httpbin):
    async with face.client() as client:
        form = await client.post(httpbin.url("/post"), data={"a": "1", "b": ["x", "ü"]})
        sent_json = await client.post(httpbin.url("/post"), json={"a": [1, None, "ü"]})
        raw = await client.post(httpbin.url("/post"), content="text", headers={"Content-Type": "text/plain"})
        stream = await client.post(
            httpbin.url("/post"), content=io.BytesIO(b"from a file"), headers={"Content-Type": "text/plain"}
        )
    assert form.json()["form"] == {"a": "1", "b": ["x", "ü"]}
    assert sent_json.json()["json"] == {"a": [1, None, "ü"]}
    assert raw.json()["data"] == "text"
    assert stream.json()["data"] == "from a file"
    assert stream.json()["headers"]["Content-Length"] == "11"


async def test_multipart_upload(face, httpbin):
    files = {
        "plain": ("plain.txt", b"some bytes", "text/plain"),
        "file": io.BytesIO(b"x" * 200_000),
    }
    async with face.client() as client:
        answered = await client.post(httpbin.url("/post"), data={"field": "välue"}, files=files)
    seen = answered.json()
    assert seen["form"] == {"field": "välue"}
    assert seen["files"] == {"plain": "some bytes", "file": "x" * 200_000}
    assert seen["headers"]["Content-Type"].startswith("multipart/form-data; boundary=")
    assert int(seen["headers"]["Content-Length"]) > 200_000, "every length is known, so the sum is"


async def test_headers_and_user_agent(face, httpbin):
    async with face.client(headers={"X-Client": "c", "X-Both": "client"}) as client:
        answered = await client.get(httpbin.url("/headers"), headers={"x-both": "request"})
    seen = answered.json()["headers"]
    assert seen["X-Client"] == "c"
    assert seen["X-Both"] == "request"
    assert "hither" in seen["User-Agent"]
    assert "gzip" in seen["Accept-Encoding"]


async def test_base_url(face, httpbin):
    async with face.client(base_url=httpbin.url("/anything/")) as client:
        answered = await client.get("below", params={"q": 1})
    assert answered.json()["url"].endswith("/anything/below?q=1")


@pytest.mark.parametrize("status", [200, 204, 304, 400, 404, 418, 500, 503])
async def test_statuses(face, httpbin, status):
    async with face.client() as client:
        answered = await client.get(httpbin.url(f"/status/{status}"))
    assert answered.status_code == status
    assert answered.ok == (status < 400)
    if status >= 400:
        with pytest.raises(hither.HTTPStatusError) as caught:
            answered.raise_for_status()
        assert caught.value.response is answered
    else:
        assert answered.raise_for_status() is answered


# -- httpbin: redirects, cookies, auth


@pytest.mark.parametrize("path", ["/redirect/3", "/absolute-redirect/3", "/relative-redirect/3"])
async def test_redirects(face, httpbin, path):
    async with face.client() as client:
        answered = await client.get(httpbin.url(path))
    assert answered.url == httpbin.url("/get")
    assert [past.status_code for past in answered.history] == [302, 302, 302]
    assert answered.history[0].url == httpbin.url(path)


async def test_redirects_not_followed(face, httpbin):
    async with face.client() as client:
        answered = await client.get(httpbin.url("/redirect/1"), follow_redirects=False)
        assert answered.is_redirect
        assert answered.next_request.url == httpbin.url("/get")
        assert (await client.send(answered.next_request)).status_code == 200


async def test_too_many_redirects(face, httpbin):
    async with face.client(max_redirects=2) as client:
        with pytest.raises(hither.TooManyRedirects):
            await client.get(httpbin.url("/redirect/3"))


@pytest.mark.parametrize(
    ("status", "method", "body"),
    [
        (301, "GET", ""),
        (302, "GET", ""),
        (303, "GET", ""),
        (307, "POST", "payload"),
        (308, "POST", "payload"),
    ],
)
async def test_redirected_post(face, httpbin, status, method, body):
    """RFC 9110 §15.4, as browsers apply it."""
    async with face.client() as client:
        answered = await client.post(
            httpbin.url("/redirect-to"),
            params={"url": "/anything", "status_code": status},
            content="payload",
            headers={"Content-Type": "text/plain"},
        )
    seen = answered.json()
    assert (seen["method"], seen["data"]) == (method, body)
    assert ("Content-Type" in seen["headers"]) == (method == "POST")


async def test_cookies(face, httpbin):
    async with face.client() as client:
        answered = await client.get(httpbin.url("/cookies/set"), params={"a": "1", "b": "2"})
        assert answered.json()["cookies"] == {"a": "1", "b": "2"}
        assert client.cookies["a"] == "1"
        assert answered.history[0].cookies["a"] == "1"
        with_own = await client.get(httpbin.url("/cookies"), cookies={"c": "3"})
        assert with_own.json()["cookies"] == {"a": "1", "b": "2", "c": "3"}
        assert "c" not in client.cookies, "a request's cookie does not stay"
        await client.get(httpbin.url("/cookies/delete"), params={"a": ""})
        assert (await client.get(httpbin.url("/cookies"))).json()["cookies"] == {"b": "2"}


async def test_basic_auth(face, httpbin):
    url = httpbin.url("/basic-auth/us%20er/secret")
    async with face.client() as client:
        assert (await client.get(url)).status_code == 401
        assert (await client.get(url, auth=("us er", "wrong"))).status_code == 401
        assert (await client.get(url, auth=("us er", "secret"))).json()["authenticated"]
        in_url = url.replace("http://", "http://us%20er:secret@")
        assert (await client.get(in_url)).json()["authenticated"]
        assert (await client.get(url, auth=hither.BasicAuth("us er", "secret"))).json()["authenticated"]


async def test_bearer_auth(face, httpbin):
    async with face.client(auth=hither.BearerAuth("token")) as client:
        assert (await client.get(httpbin.url("/bearer"))).json()["token"] == "token"


@pytest.mark.parametrize("qop", ["auth", "auth-int"])
@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
async def test_digest_auth_of_httpbin(face, httpbin, qop, algorithm):
    url = httpbin.url(f"/digest-auth/{qop}/user/secret/{algorithm}")
    async with face.client() as client:
        right = await client.get(url, auth=hither.DigestAuth("user", "secret"))
        wrong = await client.get(url, auth=hither.DigestAuth("user", "wrong"))
    assert right.status_code == 200
    assert right.json()["authenticated"]
    assert wrong.status_code == 401


async def test_digest_auth_with_a_nonce_that_goes_stale(face, httpbin):
    url = httpbin.url("/digest-auth/auth/user/secret/MD5/2")
    async with face.client(auth=hither.DigestAuth("user", "secret")) as client:
        for _ in range(4):
            assert (await client.get(url)).status_code == 200


# -- httpbin: content


@pytest.mark.parametrize(("path", "flag"), [("/gzip", "gzipped"), ("/deflate", "deflated"), ("/brotli", "brotli")])
async def test_encodings(face, httpbin, path, flag):
    async with face.client() as client:
        answered = await client.get(httpbin.url(path))
        assert answered.json()[flag] is True
        async with client.stream("GET", httpbin.url(path)) as streamed:
            raw = b"".join([chunk async for chunk in streamed.aiter_raw()])
    assert b'"method"' not in raw, "aiter_raw hands out what came over the wire"
    assert answered.num_bytes_downloaded == len(raw)


async def test_text(face, httpbin):
    async with face.client() as client:
        utf8 = await client.get(httpbin.url("/encoding/utf8"))
        html = await client.get(httpbin.url("/html"))
    assert utf8.encoding.lower() == "utf-8"
    assert "STARGΛ̊TE" in utf8.text
    assert "Moby-Dick" in html.text


async def test_streaming_lines(face, httpbin):
    async with face.client() as client, client.stream("GET", httpbin.url("/stream/20")) as answered:
        numbers = [json.loads(line)["id"] async for line in answered.aiter_lines()]
    assert numbers == list(range(20))


async def test_streaming_bytes(face, httpbin):
    async with face.client() as client:
        async with client.stream("GET", httpbin.url("/stream-bytes/100000?seed=1&chunk_size=999")) as answered:
            chunks = [chunk async for chunk in answered.aiter_bytes(4096)]
    assert [len(chunk) for chunk in chunks[:-1]] == [4096] * (len(chunks) - 1)
    assert sum(map(len, chunks)) == 100_000


async def test_streamed_then_read_whole(face, httpbin):
    async with face.client() as client, client.stream("GET", httpbin.url("/bytes/5000?seed=1")) as answered:
        with pytest.raises(hither.ResponseNotRead):
            answered.content  # noqa: B018
        assert len(await answered.aread()) == 5000
        assert len(answered.content) == 5000


async def test_ranges_of_httpbin(face, httpbin):
    async with face.client() as client:
        answered = await client.get(httpbin.url("/range/1000"), headers={"Range": "bytes=10-19"})
    assert (answered.status_code, answered.content) == (206, b"klmnopqrst")


async def test_slow_answer_meets_the_read_timeout(face, httpbin):
    async with face.client(timeout=(5, 0.2)) as client:
        with pytest.raises(hither.ReadTimeout):
            await client.get(httpbin.url("/delay/1"))
        assert (await client.get(httpbin.url("/get"))).status_code == 200


async def test_200_concurrent_requests_to_httpbin(face, httpbin):
    async with face.client() as client:

        async def ask(number: int) -> str:
            answered = await client.get(httpbin.url("/anything"), params={"n": number})
            return answered.json()["args"]["n"]

        assert await face.gather(*(ask(number) for number in range(200))) == [str(n) for n in range(200)]


# -- nginx


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_small_json(face, nginx, tls, authority_file, protocol):
    url = nginx.tls_url("/json") if tls else nginx.url("/json")
    async with face.client(verify=authority_file) as client:
        for _ in range(3):
            answered = await client.get(url)
            assert answered.json() == {"message": "hello"}
            assert answered.http_version == protocol.version


async def test_certificate_of_another_name_is_refused(face, nginx, authority_file):
    """The certificate is for localhost and 127.0.0.1, not for 127.0.0.2."""
    async with face.client(verify=authority_file) as client:
        assert (await client.get(nginx.tls_url("/json").replace("127.0.0.1", "localhost"))).status_code == 200
        with pytest.raises(hither.ConnectError):
            await client.get(nginx.tls_url("/json").replace("127.0.0.1", "127.0.0.2"))


async def test_nginx_redirect_and_nothing(face, nginx):
    async with face.client() as client:
        moved = await client.get(nginx.url("/moved"))
        nothing = await client.get(nginx.url("/nothing"))
        missing = await client.get(nginx.url("/missing"))
    assert moved.url == nginx.url("/json")
    assert (nothing.status_code, nothing.content) == (204, b"")
    assert missing.status_code == 404


async def test_nginx_closes_without_an_answer(face, nginx):
    async with face.client() as client:
        with pytest.raises(hither.RemoteProtocolError):
            await client.get(nginx.url("/slammed"))


async def test_nginx_static_file_and_ranges(face, nginx):
    content = nginx.files["range.txt"]
    async with face.client() as client:
        whole = await client.get(nginx.url("/range.txt"))
        part = await client.get(nginx.url("/range.txt"), headers={"Range": "bytes=5-14"})
        many = await client.get(nginx.url("/range.txt"), headers={"Range": "bytes=0-1,4-5"})
        beyond = await client.get(nginx.url("/range.txt"), headers={"Range": "bytes=100000-"})
        same = await client.get(nginx.url("/range.txt"), headers={"If-None-Match": whole.headers["ETag"]})
    assert whole.content == content
    assert (part.status_code, part.content) == (206, content[5:15])
    assert many.headers["Content-Type"].startswith("multipart/byteranges")
    assert beyond.status_code == 416
    assert (same.status_code, same.content) == (304, b"")


async def test_nginx_gzip(face, nginx):
    async with face.client() as client:
        answered = await client.get(nginx.url("/squeezed/page.html"))
        asked_plain = await client.get(nginx.url("/squeezed/page.html"), headers={"Accept-Encoding": "identity"})
    assert answered.headers["Content-Encoding"] == "gzip"
    assert answered.content == asked_plain.content == nginx.files["page.html"]
    assert answered.num_bytes_downloaded < len(answered.content)
    assert "Content-Encoding" not in asked_plain.headers


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_nginx_large_file_streamed(face, nginx, tls, authority_file):
    url = nginx.tls_url("/big.bin") if tls else nginx.url("/big.bin")
    digest, size = hashlib.sha256(), 0
    async with face.client(verify=authority_file) as client, client.stream("GET", url) as answered:
        async for chunk in answered.aiter_bytes():
            digest.update(chunk)
            size += len(chunk)
    assert size == int(answered.headers["Content-Length"]) == 3_000_000
    assert digest.digest() == hashlib.sha256(nginx.files["big.bin"]).digest()


async def test_nginx_upload(face, nginx):
    async with face.client() as client:
        created = await client.put(nginx.url(f"/upload/{face.name}.bin"), content=face.body([b"ab" * 1000] * 100))
        fetched = await client.get(nginx.url(f"/upload/{face.name}.bin"))
        deleted = await client.delete(nginx.url(f"/upload/{face.name}.bin"))
    assert created.status_code == 201
    assert fetched.content == b"ab" * 100_000
    assert deleted.status_code == 204


async def test_nginx_413_while_uploading(face, nginx):
    """nginx answers 413 to the head, long before the body is sent."""
    async with face.client() as client:
        answered = await client.put(nginx.url("/upload/too-large.bin"), content=bytes(30_000_000))
        assert answered.status_code == 413
        assert (await client.get(nginx.url("/json"))).status_code == 200


async def test_nginx_closing_keeps_answering(face, nginx):
    async with face.client() as client:
        for _ in range(3):
            assert (await client.get(nginx.url("/closing"))).text == "closing"


async def test_many_requests_on_few_connections(face, nginx):
    async with face.client(limits=hither.Limits(max_connections=4)) as client:
        answers = await face.gather(*(client.get(nginx.url("/json")) for _ in range(200)))
    assert {answered.status_code for answered in answers} == {200}


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_200_concurrent_requests_to_nginx(face, nginx, tls, authority_file):
    url = nginx.tls_url("/range.txt") if tls else nginx.url("/range.txt")
    async with face.client(verify=authority_file) as client:
        answers = await face.gather(
            *(client.get(url, headers={"Range": f"bytes={number}-{number + 9}"}) for number in range(200))
        )
    content = nginx.files["range.txt"]
    assert [answered.content for answered in answers] == [content[n : n + 10] for n in range(200)]
