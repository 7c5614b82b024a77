"""What the main loop owes to a response that it cannot hand out."""

from __future__ import annotations

import pytest

import hither


pytestmark = pytest.mark.protocols("http1", "http2")


class Broken(hither.Auth):
    """A flow that fails once it has seen a response."""

    def auth_flow(self, request):
        yield request
        raise LookupError("no such key")


async def test_a_failing_auth_flow_costs_no_connection(face, echo):
    async with face.client(limits=hither.Limits(max_connections=1)) as client:
        for _ in range(3):
            with pytest.raises(LookupError):
                await client.get(echo.url("/big/300000"), auth=Broken())
        assert (await client.get(echo.url("/status/204"))).status_code == 204


async def test_a_failing_redirect_hook_costs_no_connection(face, echo):
    def fail(response: hither.Response) -> None:
        raise LookupError(response.status_code)

    async with face.client(limits=hither.Limits(max_connections=1), event_hooks={"redirect": [fail]}) as client:
        for _ in range(3):
            with pytest.raises(LookupError):
                await client.get(echo.url("/redirect/1"))
        assert (await client.get(echo.url("/status/204"))).status_code == 204


def test_the_known_options_are_the_typed_ones():
    from hither._options import CLIENT_OPTIONS, REQUEST_OPTIONS
    from hither._types import ClientOptions, RequestOptions

    assert REQUEST_OPTIONS == set(RequestOptions.__annotations__)
    assert CLIENT_OPTIONS == set(ClientOptions.__annotations__)


async def test_a_second_connection_resumes_the_tls_session(face, echo_tls, authority_file):
    """RFC 8446 §2.2: the server is known, so the certificate need not be sent again."""
    async with face.client(verify=authority_file) as client:
        first = await client.get(echo_tls.url("/close"))
        second = await client.get(echo_tls.url("/close"))
    assert (first.tls.session_reused, second.tls.session_reused) == (False, True)
    assert second.tls.getpeercert() == first.tls.getpeercert()


@pytest.mark.protocols("http1")
def test_what_suspends_in_the_sync_client_is_stopped_and_told_so(echo):
    class Suspending:
        def __await__(self):
            yield

    steps = []

    async def hook(request):
        try:
            await Suspending()
            steps.append("went on")
        finally:
            steps.append("ended")

    with hither.Client(event_hooks={"request": [hook]}) as client:
        with pytest.raises(RuntimeError, match="use AsyncClient"):
            client.get(echo.url("/"))
        assert steps == ["ended"]


def test_at_most_ten_frames_from_the_call_to_the_socket(echo, monkeypatch, protocol):
    import sys

    from hither.net.blocking import BlockingStream

    depths = []
    name = "begin_write" if protocol.name == "http1" else "send"
    write = getattr(BlockingStream, name)

    def counting(self, *arguments):
        frame, depth = sys._getframe(), 0
        while frame is not None and frame.f_code is not outer:
            frame, depth = frame.f_back, depth + 1
        depths.append(depth)
        return write(self, *arguments)

    outer = sys._getframe().f_code
    monkeypatch.setattr(BlockingStream, name, counting)
    with hither.Client(**protocol.options) as client:
        client.get(echo.url("/status/204"))
        depths.clear()
        client.get(echo.url("/status/204"))  # over HTTP/2 the first may acknowledge the server's settings as well
        assert depths
        assert depths[0] <= 10
