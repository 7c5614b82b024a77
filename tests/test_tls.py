"""TLS: who is trusted, what the errors say, and how a connection ends."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

import hither
from servers.raw import Connection, RawServer, keep_answering, request, response, until_closed

HERE = keep_answering(response(b"here"))


def names(address: str = "127.0.0.1") -> dict[str, Any]:
    return {"resolver": lambda host, port: [address]}


def server_context(certificate: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@pytest.fixture
def server(server_tls):
    with RawServer(HERE, tls=server_tls) as server:
        yield server


def at(server: Any, host: str) -> str:
    return f"https://{host}:{server.port}/"


class TestTrust:
    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "a.hither.test", "a.hither.test."])
    async def test_a_ca_file(self, face, server, authority_file, host):
        for verify in (authority_file, Path(authority_file)):
            async with face.client(verify=verify, **names()) as client:
                assert (await client.get(at(server, host))).content == b"here"

    async def test_a_folder_of_cas(self, face, server, authority_file, tmp_path):
        openssl = shutil.which("openssl")
        if openssl is None:
            pytest.skip("openssl(1) names the files of such a folder")
        hashed = subprocess.run([openssl, "x509", "-hash", "-noout", "-in", authority_file], capture_output=True)
        shutil.copy(authority_file, tmp_path / f"{hashed.stdout.decode().strip()}.0")
        async with face.client(verify=str(tmp_path)) as client:
            assert (await client.get(server.url())).content == b"here"

    async def test_a_context_is_used_as_it_is(self, face, server, authority):
        context = ssl.create_default_context()
        authority.configure_trust(context)
        async with face.client(verify=context) as client:
            answered = await client.get(server.url())
            assert answered.tls.context is context

    async def test_nobody_is_asked_with_verify_false(self, face, server):
        async with face.client(verify=False, **names()) as client:
            assert (await client.get(at(server, "wrong.name"))).content == b"here"

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
    async def test_an_unknown_authority_is_refused_and_the_error_says_what_to_do(self, face, server, host):
        async with face.client(limits=hither.Limits(1)) as client:
            for _ in range(2):
                with pytest.raises(hither.TLSError) as caught:
                    await client.get(f"https://user:secret@{host}:{server.port}/path")
                said = str(caught.value)
                assert "self-signed certificate in certificate chain" in said
                assert "verify=" in said
                assert said.endswith(f"[GET https://user:***@{host}:{server.port}/path]")
                assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
                assert isinstance(caught.value, hither.ConnectError)
        assert server.requests == []

    async def test_a_certificate_for_another_name_is_refused(self, face, server, authority_file):
        async with face.client(verify=authority_file, **names()) as client:
            with pytest.raises(hither.TLSError, match=r"(?i)hostname mismatch.*'other\.test'"):
                await client.get(at(server, "other.test"))

    async def test_a_certificate_for_another_address_is_refused(self, face, server_tls, authority_file):
        with RawServer(HERE, tls=server_tls, host="127.0.0.2") as server:
            async with face.client(verify=authority_file) as client:
                with pytest.raises(hither.TLSError, match=r"(?i)IP address mismatch.*'127\.0\.0\.2'"):
                    await client.get(server.url())

    async def test_a_name_in_the_common_name_alone_is_no_name(self, face, authority, authority_file):
        """RFC 9110 §4.3.4 by way of RFC 6125: the subject's alternative names count."""
        certificate = authority.issue_cert("real.test", common_name="common.test")
        with RawServer(HERE, tls=server_context(certificate)) as server:
            async with face.client(verify=authority_file, **names()) as client:
                with pytest.raises(hither.TLSError):
                    await client.get(at(server, "common.test"))

    async def test_an_expired_certificate(self, face, authority, authority_file):
        from datetime import UTC, datetime

        certificate = authority.issue_cert("localhost", not_after=datetime(2020, 1, 1, tzinfo=UTC))
        with RawServer(HERE, tls=server_context(certificate)) as server:
            async with face.client(verify=authority_file) as client:
                with pytest.raises(hither.TLSError, match="expired"):
                    await client.get(at(server, "localhost"))

    @pytest.mark.parametrize("verify", [None, 1, b"path", object()])
    def test_what_verify_does_not_take(self, verify):
        with pytest.raises(TypeError, match="verify takes"):
            hither.Client(verify=verify)

    def test_a_path_that_is_not_there_is_told_where_it_is_given(self, tmp_path):
        for verify in (str(tmp_path / "none.pem"), tmp_path / "none.pem", ""):
            with pytest.raises(FileNotFoundError, match="verify="):
                hither.Client(verify=verify)
        (tmp_path / "empty.pem").write_bytes(b"")
        with pytest.raises(OSError, match="holds no certificates"):
            hither.Client(verify=str(tmp_path / "empty.pem"))


class TestEnvironment:
    async def test_ssl_cert_file(self, face, server, authority_file, monkeypatch):
        monkeypatch.setenv("SSL_CERT_FILE", authority_file)
        async with face.client() as client:
            assert (await client.get(server.url())).content == b"here"
        async with face.client(trust_env=False) as client:
            with pytest.raises(hither.TLSError):
                await client.get(server.url())
        monkeypatch.delenv("SSL_CERT_FILE")
        async with face.client() as client:
            with pytest.raises(hither.TLSError):
                await client.get(server.url())

    @pytest.mark.parametrize("kind", ["missing", "empty"])
    async def test_a_useless_ssl_cert_file_is_named_in_the_error(self, face, server, tmp_path, monkeypatch, kind):
        path = tmp_path / "ca.pem"
        if kind == "empty":
            path.write_bytes(b"")
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        async with face.client(limits=hither.Limits(1)) as client:
            for _ in range(2):
                with pytest.raises(hither.TLSError, match=r"SSL_CERT_FILE.*ca\.pem.*\[GET"):
                    await client.get(server.url())

    async def test_sslkeylogfile(self, face, server, authority_file, tmp_path, monkeypatch):
        path = tmp_path / "keys"
        monkeypatch.setenv("SSLKEYLOGFILE", str(path))
        async with face.client(verify=authority_file) as client:
            await client.get(server.url())
        assert "CLIENT_TRAFFIC_SECRET_0" in path.read_text()

    async def test_sslkeylogfile_for_the_shared_default(self, face, server, authority_file, tmp_path, monkeypatch):
        """Also when other clients were made, and used, before it was set."""
        monkeypatch.setenv("SSL_CERT_FILE", authority_file)
        path = tmp_path / "keys"
        async with face.client() as client:
            await client.get(server.url())
        monkeypatch.setenv("SSLKEYLOGFILE", str(path))
        async with face.client() as client:
            await client.get(server.url())
        assert "CLIENT_TRAFFIC_SECRET_0" in path.read_text()

    def test_the_default_context_is_made_once(self):
        first, second = hither.Client(), hither.Client()
        assert first._networks._network._connector._tls.context is second._networks._network._connector._tls.context


class TestClientCertificate:
    async def test_one_file_or_two_with_a_password(
        self, face, echo_tls, authority_file, client_certificate_file, tmp_path
    ):
        text = Path(client_certificate_file).read_text()
        at_key = text.index("-----BEGIN CERTIFICATE")
        key, certificate, locked = tmp_path / "key.pem", tmp_path / "certificate.pem", tmp_path / "locked.pem"
        key.write_text(text[:at_key])
        certificate.write_text(text[at_key:])
        from cryptography.hazmat.primitives.serialization import (
            BestAvailableEncryption,
            Encoding,
            PrivateFormat,
            load_pem_private_key,
        )

        private = load_pem_private_key(key.read_bytes(), None)
        locked.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"sesame")))
        for cert in (
            client_certificate_file,
            Path(client_certificate_file),
            (str(certificate), str(key)),
            (certificate, locked, "sesame"),
        ):
            async with face.client(verify=authority_file, cert=cert) as client:
                assert (await client.get(echo_tls.url("/echo"))).json()["certificate"] == "tester"
        with pytest.raises(OSError, match="cert=.*cannot be loaded"):
            hither.Client(verify=authority_file, cert=(str(certificate), str(locked), "wrong"))

    def test_a_path_that_is_not_there(self, tmp_path, client_certificate_file):
        missing = str(tmp_path / "none.pem")
        for cert in (missing, (client_certificate_file, missing)):
            with pytest.raises(FileNotFoundError, match="cert="):
                hither.Client(cert=cert)

    def test_beside_a_context_it_is_refused(self, client_certificate_file):
        with pytest.raises(TypeError, match="load it into the context"):
            hither.Client(verify=ssl.create_default_context(), cert=client_certificate_file)

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    async def test_a_server_that_wants_one_says_so(self, face, authority, certificate, authority_file, version):
        context = server_context(certificate)
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
        context.minimum_version = context.maximum_version = version
        with RawServer(HERE, tls=context) as server:
            async with face.client(verify=authority_file) as client:
                # In TLS 1.3 the handshake is over for the client before the server has looked, RFC 8446 §4.4.2.
                with pytest.raises((hither.TLSError, hither.ReadError, hither.WriteError)) as caught:
                    await client.get(server.url())
        if version == ssl.TLSVersion.TLSv1_2 or isinstance(caught.value, hither.ReadError):
            assert "alert" in str(caught.value).lower() or "reset" in str(caught.value).lower()


class TestNameAndProtocol:
    async def test_sni_hostname(self, face, certificate, authority_file):
        seen: list[str | None] = []
        context = server_context(certificate)
        context.sni_callback = lambda sock, name, context: seen.append(name)
        with RawServer(HERE, tls=context) as server:
            async with face.client(verify=authority_file) as client:
                await client.get(server.url())
                await client.get(at(server, "localhost"))
                named = {"sni_hostname": "b.hither.test"}
                answered = await client.get(server.url(), extensions=named)
                assert answered.tls.server_hostname == "b.hither.test"
                with pytest.raises(hither.TLSError, match=r"'elsewhere\.test'"):
                    await client.get(server.url(), extensions={"sni_hostname": "elsewhere.test"})
            # RFC 6066 §3: no IP addresses
            assert seen == [None, "localhost", "b.hither.test", "elsewhere.test"]

    async def test_connections_with_another_sni_are_not_shared(self, face, server, authority_file):
        async with face.client(verify=authority_file) as client:
            for name in ("localhost", "b.hither.test", "localhost", None, "b.hither.test", None):
                extensions = {"sni_hostname": name} if name else {}
                answered = await client.get(at(server, "localhost"), extensions=extensions)
                assert answered.tls.server_hostname == (name or "localhost")
        assert len(server.connections) == 3

    @pytest.mark.parametrize("name", [".", ".example", "x" * 70 + ".test"])
    async def test_a_name_that_tls_does_not_take(self, face, server, name):
        async with face.client(limits=hither.Limits(1)) as client:
            for _ in range(2):
                with pytest.raises(hither.TLSError, match=r"\[GET https"):
                    await client.get(server.url(), extensions={"sni_hostname": name})

    async def test_clients_do_not_share_connections(self, face, server, authority_file):
        async with face.client(verify=authority_file) as careful, face.client(verify=False) as careless:
            assert (await careless.get(server.url())).tls.context.verify_mode == ssl.CERT_NONE
            assert (await careful.get(server.url())).tls.context.verify_mode == ssl.CERT_REQUIRED
        assert len(server.connections) == 2

    async def test_http_1_1_is_offered(self, face, certificate, authority_file):
        context = server_context(certificate)
        context.set_alpn_protocols(["h2", "http/1.1"])
        with RawServer(HERE, tls=context) as server:
            async with face.client(verify=authority_file, http2=False) as client:
                assert (await client.get(server.url())).tls.selected_alpn_protocol() == "http/1.1"

    async def test_a_server_without_alpn_is_spoken_to(self, face, certificate, authority_file):
        with RawServer(HERE, tls=server_context(certificate)) as server:
            async with face.client(verify=authority_file) as client:
                assert (await client.get(server.url())).tls.selected_alpn_protocol() is None

    async def test_a_protocol_that_is_not_spoken_here(self, face, certificate, authority):
        """A context of the user's may offer what this connection cannot keep."""
        offering, context = server_context(certificate), ssl.create_default_context()
        authority.configure_trust(context)
        offering.set_alpn_protocols(["h2"])
        context.set_alpn_protocols(["h2", "http/1.1"])
        with RawServer(until_closed, tls=offering) as server:
            async with face.client(verify=context, http2=False) as client:
                with pytest.raises(hither.TLSError, match="'h2'"):
                    await client.get(server.url())

    async def test_what_the_response_tells(self, face, server, authority_file):
        async with face.client(verify=authority_file) as client:
            answered = await client.get(server.url())
            assert answered.tls.version() == "TLSv1.3"
            assert answered.tls.cipher()[2] >= 128
            assert ("IP Address", "127.0.0.1") in answered.tls.getpeercert()["subjectAltName"]
            assert answered.timings.tls > 0
            again = await client.get(server.url())
            assert again.tls is answered.tls
        with RawServer(HERE) as plain:
            async with face.client() as client:
                assert (await client.get(plain.url())).tls is None


class TestFailingHandshakes:
    async def test_plain_http_on_the_port(self, face):
        with RawServer([b"HTTP/1.1 400 Bad Request\r\n\r\n", until_closed]) as server:
            async with face.client() as client:
                with pytest.raises(hither.TLSError, match="http://"):
                    await client.get(server.url().replace("http:", "https:"))

    @pytest.mark.parametrize("how", ["close", "reset"])
    async def test_broken_off(self, face, how):
        def script(connection: Connection) -> None:
            connection.more()
            connection.reset() if how == "reset" else connection.close()

        with RawServer(script) as server:
            async with face.client(limits=hither.Limits(1)) as client:
                for _ in range(2):
                    with pytest.raises(hither.TLSError, match=r"127\.0\.0\.1.*handshake.*\[GET"):
                        await client.get(server.url().replace("http:", "https:"))

    @pytest.mark.parametrize(
        ("timeout", "error"),
        [(hither.Timeout(connect=0.1), hither.ConnectTimeout), (hither.Timeout(None, total=0.1), hither.TotalTimeout)],
        ids=["connect", "total"],
    )
    async def test_that_never_end(self, face, timeout, error):
        with RawServer(until_closed) as server:
            async with face.client(timeout=timeout) as client:
                with pytest.raises(error, match="agreeing on TLS"):
                    await client.get(server.url().replace("http:", "https:"))

    async def test_the_server_hears_why(self, face, certificate):
        """RFC 8446 §6.2: the alert."""
        reasons: list[str] = []

        def script(connection: Connection) -> None:
            try:
                connection.start_tls(server_context(certificate))
                connection.more()
            except ssl.SSLError as error:
                reasons.append(error.reason)
            except Exception as error:
                reasons.append(repr(error.__cause__))

        with RawServer(script) as server:
            async with face.client() as client:
                with pytest.raises(hither.TLSError):
                    await client.get(server.url().replace("http:", "https:"))
            server.wait_for(lambda server: bool(reasons))
        assert "UNKNOWN_CA" in reasons[0]


def with_close_notify(connection: Connection) -> None:
    """The whole of an orderly end: say goodbye, and wait for the client's before the socket is closed."""
    sock = connection.sock
    assert isinstance(sock, ssl.SSLSocket)
    with contextlib.suppress(ssl.SSLError, OSError):
        connection.sock = sock.unwrap()


def in_one_segment(*data: bytes) -> Any:
    """Send data and the close_notify in one write to the socket, then wait for the client to close."""

    def step(connection: Connection) -> None:
        sock = connection.sock
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        for piece in data:
            sock.sendall(piece)
        sock.settimeout(10)
        closer = threading.Timer(0.05, lambda: socket.socket.setsockopt(sock, socket.IPPROTO_TCP, socket.TCP_CORK, 0))
        closer.start()
        with_close_notify(connection)
        closer.join()

    return step


@pytest.mark.skipif(not hasattr(socket, "TCP_CORK"), reason="two records are put into one segment by TCP_CORK")
class TestEnding:
    """RFC 9112 §9.8."""

    async def test_a_body_that_ends_with_a_close_notify(self, face, server_tls, authority_file):
        """The server waits for ours before it closes the socket; nobody waits for the other for ever."""
        data = b"HTTP/1.1 200 OK\r\n\r\nto the end"
        with RawServer([request(), in_one_segment(data)], tls=server_tls) as server:
            async with face.client(verify=authority_file, timeout=hither.Timeout(read=3)) as client:
                assert (await client.get(server.url())).content == b"to the end"

    async def test_a_connection_that_said_goodbye_is_not_used_again(self, face, server_tls, authority_file):
        with RawServer([request(), in_one_segment(response(b"one"))], HERE, tls=server_tls) as server:
            async with face.client(verify=authority_file, timeout=hither.Timeout(read=3)) as client:
                assert (await client.get(server.url())).content == b"one"
                assert (await client.post(server.url(), content=b"x")).content == b"here"

    async def test_without_a_close_notify_a_declared_length_still_counts(self, face, server_tls, authority_file):
        for data, whole in [(response(b"hello", length=10), False), (response(b"hello"), True)]:
            with RawServer([request(), data, _cut], tls=server_tls) as server:
                async with face.client(verify=authority_file) as client:
                    if whole:
                        assert (await client.get(server.url())).content == b"hello"
                    else:
                        with pytest.raises((hither.RemoteProtocolError, hither.ReadError)):
                            await client.get(server.url())

    async def test_the_client_says_goodbye(self, face, server_tls, authority_file):
        ended: list[Any] = []

        def script(connection: Connection) -> None:
            connection.head()
            connection.send(response(b"one"))
            sock = connection.sock
            sock.suppress_ragged_eofs = False
            try:
                ended.append(sock.recv(1))
            except ssl.SSLError as error:
                ended.append(error)

        with RawServer(script, tls=server_tls) as server:
            async with face.client(verify=authority_file) as client:
                await client.get(server.url())
            server.wait_for(lambda server: bool(ended))
        assert ended == [b""], "close_notify, not a cut"

    @pytest.mark.parametrize("length", [5, 10])
    async def test_what_comes_before_a_broken_record_is_read(self, face, server_tls, authority_file, length):
        broken = b"\x17\x03\x03\x00\x20" + bytes(32)  # RFC 8446 §5.2: a record that nobody encrypted
        heard: list[str] = []
        over = threading.Event()

        def script(connection: Connection) -> None:
            connection.head()
            sock = connection.sock
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
            sock.sendall(response(b"hello", length=length))
            socket.socket.sendall(sock, broken)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
            try:
                sock.recv(1)
            except ssl.SSLError as error:
                heard.append(str(error.reason))
            connection.wait(over)

        with RawServer(script, HERE, tls=server_tls) as server:
            async with face.client(verify=authority_file) as client:
                async with client.stream("GET", server.url()) as answered:
                    pieces = answered.aiter_bytes()
                    assert await anext(pieces) == b"hello"
                    if length > 5:
                        with pytest.raises(hither.ReadError, match="(?i)mac"):
                            await anext(pieces)
                assert (await client.post(server.url(), content=b"x")).content == b"here", "on a connection of its own"
            over.set()
        assert [reason.endswith("BAD_RECORD_MAC") for reason in heard] == [True], "RFC 8446 §6.2: the peer is told why"


def _cut(connection: Connection) -> None:
    """End the TCP connection without a word of TLS."""
    with socket.socket(fileno=connection.sock.detach()) as plain, contextlib.suppress(OSError):
        plain.shutdown(socket.SHUT_WR)


class TestLoads:
    async def test_large_bodies_both_ways(self, face, echo_tls, authority_file):
        body = os.urandom(3_000_000)
        async with face.client(verify=authority_file) as client:
            for content in (body, face.body([body[:100_000], body[100_000:]])):
                seen = (await client.post(echo_tls.url("/echo"), content=content)).json()
                assert seen["sha256"] == hashlib.sha256(body).hexdigest()
            async with client.stream("GET", echo_tls.url("/big/3000000")) as answered:
                assert len(await answered.aread()) == 3_000_000
        assert len(echo_tls.connections) == 1
