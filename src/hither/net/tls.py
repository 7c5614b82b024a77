"""TLS over any stream, by `ssl.MemoryBIO`: the same code under every runtime, and TLS inside TLS for free."""

from __future__ import annotations

import contextlib
import ssl
from typing import TYPE_CHECKING

from .base import READ_SIZE, Stream

if TYPE_CHECKING:
    import socket
    import threading
    from collections.abc import Callable

_RECORD = 16384  # bytes: the largest TLS record's content, RFC 8446 §5.1


class TLSStream(Stream):
    """A stream that encrypts onto another one. Call `handshake` first; `OSError` (ssl.SSLError) when it fails."""

    __slots__ = ("_ended", "_failure", "_guard", "_incoming", "_inner", "_object", "_outgoing", "_plain", "_waiting")

    def __init__(
        self,
        inner: Stream,
        context: ssl.SSLContext,
        server_hostname: str | None,
        session: ssl.SSLSession | None = None,
    ) -> None:
        self._inner = inner
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=server_hostname, session=session
        )
        self._ended = False  # the peer has said that it will send no more
        self._failure: ssl.SSLError | None = None  # what came after the last that could be decrypted
        self._waiting = b""  # decrypted while something was sent
        self._plain = memoryview(b"")  # of an upload, not encrypted yet
        self._guard: threading.Lock | None = None  # held while the TLS session is used, where threads share it

    @property
    def tls(self) -> ssl.SSLObject:
        """The TLS session: version, cipher, certificate, ALPN."""
        return self._object

    async def handshake(self, left: Callable[[], float | None]) -> None:
        """Agree on keys; `left` tells how many seconds there still are."""
        while True:
            try:
                self._object.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush(left())
                self._feed(await self._inner.read(left()))
            except ssl.SSLError:
                self._inner.send_now(self._outgoing.read())  # the alert that tells the peer why
                raise
            else:
                return await self._flush(left())

    async def _flush(self, timeout: float | None) -> None:
        if self._outgoing.pending:
            await self._inner.write(self._outgoing.read(), timeout)

    def _feed(self, data: bytes) -> None:
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _decrypt(self) -> bytes | None:
        """All that is decrypted and at hand; b"" at the end, None when more must be read first.

        What was decrypted before a fatal error is returned, and the error raised by the next call.
        """
        if self._failure is not None:
            raise self._failure
        pieces: list[bytes] = []
        try:
            while self._incoming.pending or self._object.pending():
                piece = self._object.read(_RECORD)
                if not piece:
                    self._ended = True
                    break
                pieces.append(piece)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._ended = True
        except ssl.SSLError as error:
            self._failure = error
            self._ended = True
            self._inner.send_now(self._outgoing.read())  # the alert that tells the peer why
            if not pieces:
                raise
        if not pieces and not self._ended:
            return None
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def share(self, lock: threading.Lock) -> None:
        self._guard = lock

    async def _advance(self, timeout: float | None) -> bytes | None:
        """Read once from the stream underneath; return what `_decrypt` makes of it."""
        data = await self._inner.read(timeout)
        if not data:
            # RFC 9112 §9.8: an end without close_notify is an incomplete close, told apart by the message's own
            # framing, which the protocol above checks. OpenSSL is not told: it would forget the certificate.
            self._ended = True
            return b""
        if self._guard is not None:
            with self._guard:
                return self._decrypt_shared(data)
        self._incoming.write(data)
        return self._decrypt()

    def _decrypt_shared(self, data: bytes) -> bytes | None:
        """Decrypt, and send at once what TLS has to say itself. The lock is held."""
        self._incoming.write(data)
        plain = self._decrypt()
        if self._outgoing.pending:
            self._inner.send(self._outgoing.read())
        return plain

    async def read(self, timeout: float | None) -> bytes:
        if self._waiting:
            data, self._waiting = self._waiting, b""
            return data
        if self._guard is not None:
            return await self._read_shared(timeout)
        plain = self._decrypt()
        while plain is None:
            plain = await self._advance(timeout)
            if self._outgoing.pending:
                await self._flush(timeout)
        return plain

    async def _read_shared(self, timeout: float | None) -> bytes:
        plain = None
        if self._incoming.pending or self._ended:  # what came with the handshake's last bytes, or an end
            with self._guard:  # type: ignore[union-attr]
                plain = self._decrypt_shared(b"")
        while plain is None:
            plain = await self._advance(timeout)
        return plain

    async def write(self, data: bytes, timeout: float | None) -> None:
        self._object.write(data)
        await self._inner.write(self._outgoing.read(), timeout)

    async def upload(self, data: bytes | memoryview, timeout: float | None) -> bool:
        if data:
            self._plain = memoryview(b"".join((self._plain, data)) if self._plain else data)
        sent = True
        while True:
            if sent and self._plain:  # in steps: a `MemoryBIO` never gives back the room that it once needed
                self._object.write(self._plain[:READ_SIZE])
                self._plain = self._plain[READ_SIZE:] if len(self._plain) > READ_SIZE else memoryview(b"")
            sent = await self._inner.upload(self._outgoing.read(), timeout)
            if sent:
                if not self._plain:
                    return True
                continue
            plain = await self._advance(timeout)
            if plain is not None:
                self._waiting += plain
                return False

    def send(self, data: bytes) -> bool:
        if data:
            self._object.write(data)
        return self._inner.send(self._outgoing.read())

    async def writable(self, timeout: float | None, alone: bool) -> bool:
        return await self._inner.writable(timeout, alone)

    def nudge(self) -> None:
        self._inner.nudge()

    def is_readable(self, ask_kernel: bool = True) -> bool:
        return bool(self._waiting) or self._ended or self._incoming.pending > 0 or self._inner.is_readable(ask_kernel)

    def send_now(self, data: bytes) -> None:
        with contextlib.suppress(ssl.SSLError):
            self._object.write(data)
            self._inner.send_now(self._outgoing.read())

    def close(self) -> None:
        # RFC 8446 §6.1: close_notify, without waiting for the other side's. An `unwrap` that comes upon one that is
        # there already leaves a session that no longer tells its certificate.
        if not self._ended and not self._incoming.pending:
            with contextlib.suppress(OSError, ValueError):
                self._object.unwrap()
            self._inner.send_now(self._outgoing.read())
        self._inner.close()

    @property
    def socket(self) -> socket.socket | None:
        return self._inner.socket
