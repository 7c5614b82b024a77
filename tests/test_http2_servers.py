"""HTTP/2 against servers that nobody here wrote: nghttpd, nginx, caddy, hypercorn, Node's own; plain and over TLS."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

import hither
from faces import connections
from servers.http2_peers import PEERS, Peer, find

pytestmark = [pytest.mark.protocols("http2"), pytest.mark.usefixtures("protocol"), pytest.mark.time_limit(60)]

ONE = hither.Limits(max_connections=1)


@pytest.fixture(scope="session")
def peer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, certificate_file: str) -> Any:
    make = PEERS[request.param]
    if make.command is not None and find(make.command) is None:
        pytest.skip(f"{make.command} is not installed")
    server = make(tmp_path_factory.mktemp(request.param), certificate_file)
    yield server
    server.close()


def peers(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("peer", names or list(PEERS), indirect=True)


@pytest.fixture(params=["plain", "tls"])
def site(request: pytest.FixtureRequest, peer: Peer) -> Iterator[Any]:
    """`site("/path")` is a URL of the peer, plain or under TLS."""
    return lambda path: peer.url(path, tls=request.param == "tls")


@pytest.fixture
def trust(authority_file: str) -> dict[str, Any]:
    return {"verify": authority_file, "timeout": 20}


def content_of(size: int) -> bytes:
    return hashlib.shake_128(b"peer").digest(size)


@peers()
async def test_small_answers(face, peer, site, trust):
    async with face.client(**trust) as client:
        for _ in range(3):
            answered = await client.get(site("/json"))
            assert answered.http_version == "HTTP/2"
            assert answered.json() == {"message": "hello"}
        headed = await client.head(site("/1mb.bin"))
        missing = await client.get(site("/missing"))
        assert (headed.status_code, headed.content) == (200, b"")
        assert missing.status_code == 404
        assert connections(client) == (0, 1)


@peers()
@pytest.mark.faces("sync", "asyncio", "trio")
async def test_download(face, peer, site, trust):
    async with face.client(**trust) as client:
        assert (await client.get(site("/1mb.bin"))).content == content_of(1_000_000)
        digest = hashlib.sha256()
        async with client.stream("GET", site("/20mb.bin")) as answered:
            async for chunk in answered.aiter_bytes():
                digest.update(chunk)
        assert digest.digest() == hashlib.sha256(content_of(20_000_000)).digest()
        assert connections(client) == (0, 1)


@peers()
@pytest.mark.faces("sync", "asyncio", "trio")
@pytest.mark.parametrize(("size", "kind"), [(1_000_000, "bytes"), (1_000_000, "pieces"), (20_000_000, "pieces")])
async def test_upload(face, peer, site, trust, size, kind):
    content = content_of(size)
    body = content if kind == "bytes" else face.body(content[at : at + 99_999] for at in range(0, size, 99_999))
    async with face.client(**trust) as client:
        if peer.upload == "PUT":
            stored = site(f"/large/{face.name}-{kind}.bin")
            assert (await client.put(stored, content=body)).status_code in (201, 204)
            seen = (await client.get(stored)).content
            await client.delete(stored)
        else:
            seen = (await client.post(site(peer.upload), content=body)).content
        if peer.upload != "/digest":
            seen = hashlib.sha256(seen).hexdigest().encode()
        assert seen == hashlib.sha256(content).hexdigest().encode()
        assert connections(client) == (0, 1)


@peers("nghttpd", "hypercorn", "node")
async def test_both_directions_at_once(face, peer, site, trust):
    """What is sent comes back while it is sent; nobody waits for somebody who waits."""
    size = 5_000_000
    content = content_of(size)
    pieces = [content[at : at + 65_000] for at in range(0, size, 65_000)]
    digest = hashlib.sha256()
    async with face.client(**trust) as client:
        async with client.stream("POST", site("/echo"), content=face.body(pieces)) as answered:
            async for chunk in answered.aiter_bytes():
                digest.update(chunk)
        assert digest.digest() == hashlib.sha256(content).digest()


@peers()
async def test_200_at_once_on_one_connection(face, peer, site, trust):
    async with face.client(limits=ONE, **trust) as client:
        assert (await client.get(site("/json"))).status_code == 200
        answers = await face.gather(*(client.get(site("/json")) for _ in range(200)))
        assert [answered.text for answered in answers] == ['{"message": "hello"}'] * 200
        assert connections(client) == (0, 1)


@peers()
async def test_small_answers_do_not_wait_for_large_ones(face, peer, site, trust):
    """Downloads, uploads and small answers, all on one connection."""
    content = content_of(1_000_000)
    async with face.client(limits=ONE, **trust) as client:

        async def load() -> bool:
            return (await client.get(site("/1mb.bin"))).content == content

        async def send() -> bool:
            if peer.upload == "PUT":
                return (await client.post(site("/json"), content=content)).status_code < 500
            seen = (await client.post(site(peer.upload), content=content)).content
            return seen in (content, hashlib.sha256(content).hexdigest().encode())

        async def ask() -> bool:
            return (await client.get(site("/json"))).json() == {"message": "hello"}

        jobs = [job() for _ in range(5) for job in (load, send, ask, ask, ask)]
        assert await face.gather(*jobs) == [True] * 25
        assert connections(client) == (0, 1)


@peers("nghttpd", "hypercorn", "node")
async def test_trailers(face, peer, site, trust):
    path = "/json" if peer.upload == "/echo" else "/trailers"
    wanted = {"TE": "trailers"}  # hypercorn sends none else
    async with face.client(**trust) as client:
        answered = await client.get(site(path), headers=wanted)
        assert answered.trailers["X-Trailer"] == "yes"
        async with client.stream("GET", site(path), headers=wanted) as streamed:
            await streamed.aread()
        assert streamed.trailers["X-Trailer"] == "yes"


@peers("hypercorn", "node")
async def test_early_hints(face, peer, site, trust):
    async with face.client(**trust) as client:
        answered = await client.get(site("/hints"))
    assert answered.text == "content"
    assert [hints["Link"] for hints in answered.early_hints] == ["</a.css>; rel=preload"]


@peers("nginx", "caddy", "hypercorn", "node")
async def test_redirect_and_nothing(face, peer, site, trust):
    async with face.client(**trust) as client:
        moved = await client.get(site("/moved"))
        nothing = await client.get(site("/nothing"))
        assert moved.url == site("/json")
        assert moved.history[0].status_code == 301
        assert (nothing.status_code, nothing.content) == (204, b"")
        assert connections(client) == (0, 1)


@peers("nginx", "caddy", "hypercorn", "node")
async def test_gzip(face, peer, site, trust):
    async with face.client(**trust) as client:
        answered = await client.get(site("/squeezed"))
    assert answered.headers["Content-Encoding"] == "gzip"
    assert answered.num_bytes_downloaded < len(answered.content)
    assert answered.content in (b"squeezed " * 1000, b"<p>hello</p>\n" * 200)


@peers("nghttpd", "nginx", "caddy")
async def test_not_modified(face, peer, site, trust):
    async with face.client(**trust) as client:
        whole = await client.get(site("/1mb.bin"))
        since = whole.headers["Last-Modified"]
        again = await client.get(site("/1mb.bin"), headers={"If-Modified-Since": since})
        assert (again.status_code, again.content) == (304, b"")
        assert (await client.get(site("/json"))).status_code == 200
        assert connections(client) == (0, 1)


@peers("nghttpd", "nginx", "caddy", "node")
@pytest.mark.faces("sync", "asyncio", "trio")
async def test_left_early_again_and_again(face, peer, site, trust):
    """A response that is left resets its stream; the connection keeps its windows and is used on."""
    async with face.client(limits=ONE, **trust) as client:
        for _ in range(10):
            async with client.stream("GET", site("/20mb.bin")) as answered:
                async for _ in answered.aiter_bytes():
                    break
        assert len((await client.get(site("/1mb.bin"))).content) == 1_000_000


@peers("hypercorn")
@pytest.mark.faces("sync", "asyncio", "trio")
@pytest.mark.parametrize("at_once", [1, 50])
async def test_1500_requests(face, peer, trust, at_once):
    """Past the thousand requests after which hypercorn ends a connection as it comes."""
    url = peer.url("/json", tls=False)
    left = iter(range(1500))

    async with face.client(**trust) as client:

        async def work() -> int:
            done = 0
            for _ in left:
                answered = await client.get(url)
                assert (answered.status_code, answered.text) == (200, '{"message": "hello"}')
                done += 1
            return done

        assert sum(await face.gather(*(work() for _ in range(at_once)))) == 1500


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("at_once", [1, 50])
async def test_nginx_ends_a_connection_after_1000_requests(face, nginx, trust, tls, at_once):
    """GOAWAY(NO_ERROR): what nginx has not taken is sent on a new connection, and nobody notices."""
    url = nginx.short_lived_url("/json", tls=tls)
    left = iter(range(3000))
    seen: set[str] = set()

    async with face.client(limits=ONE, **trust) as client:

        async def work() -> int:
            done = 0
            for number in left:
                answered = await client.post(url, content=b"x") if number % 10 == 0 else await client.get(url)
                assert answered.json() == {"message": "hello"}
                seen.add(answered.headers["X-Connection"])
                done += 1
            return done

        assert sum(await face.gather(*(work() for _ in range(at_once)))) == 3000
    assert 3 <= len(seen) <= 5
