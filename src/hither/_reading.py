"""How a response's content is handed out piece by piece: raw, decoded, as text and as lines."""

from __future__ import annotations

from ._errors import HTTPError
from .net.base import run_sync

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
    from typing import Any, Protocol

    from ._response import Response
    from ._text import LineDecoder, TextDecoder

    class Source(Protocol):
        """Where content comes from: a connection, an iterable of the user's, an application in this process."""

        async def read_chunk(self) -> bytes:
            """Return the next bytes; b"" at the end, when the source has closed itself."""

        def close(self) -> None:
            """Stop reading, at once; what is not read is lost."""

        async def aclose(self) -> None:
            """Stop reading; may wait for an async source to clean up."""


class Reader:
    """An iterator, sync and async, over what `following` returns until it is empty.

    Not a generator: one that is left early would wait for somebody to close it.
    """

    __slots__ = ("_following", "_response")

    def __init__(self, response: Response, following: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        self._response = response
        self._following: Callable[[], Coroutine[Any, Any, Any]] = following

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            piece = run_sync(self._following())
        except HTTPError as error:
            self._response._attach(error)
            raise
        if not piece:
            raise StopIteration
        return piece

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            piece = await self._following()
        except HTTPError as error:
            self._response._attach(error)
            raise
        if not piece:
            raise StopAsyncIteration
        return piece


class LineReader:
    """An iterator, sync and async, over lines, which come several at a time."""

    __slots__ = ("_lines", "_reader")

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._lines: Iterator[str] = iter(())

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        for line in self._lines:
            return line
        self._lines = iter(next(self._reader))
        return next(self._lines)

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        for line in self._lines:
            return line
        self._lines = iter(await anext(self._reader))
        return next(self._lines)


class Sized:
    """Cuts pieces to a size; the last one may be smaller."""

    __slots__ = ("_following", "_held", "_size")

    def __init__(self, following: Callable[[], Awaitable[bytes]], size: int) -> None:
        if size < 1:
            raise ValueError(f"chunk_size takes 1 or more, not {size}")
        self._following = following
        self._held = bytearray()
        self._size = size

    async def following(self) -> bytes:
        held, size = self._held, self._size
        while len(held) < size:
            piece = await self._following()
            if not piece:
                break
            held += piece
        piece = bytes(held[:size])
        del held[:size]
        return piece


class Text:
    """Decodes pieces to text; the decoder is made when the first bytes are there to look at."""

    __slots__ = ("_decoder", "_ended", "_following", "_make")

    def __init__(self, following: Callable[[], Awaitable[bytes]], make: Callable[[bytes], TextDecoder]) -> None:
        self._following = following
        self._make = make
        self._decoder: TextDecoder | None = None
        self._ended = False

    async def following(self) -> str:
        while not self._ended:
            data = await self._following()
            if self._decoder is None:
                while data and len(data) < 4 and (more := await self._following()):
                    data += more  # a byte order mark has up to four bytes
                self._decoder = self._make(data)
            self._ended = not data
            text = self._decoder.decode(data) if data else self._decoder.flush()
            if text:
                return text
        return ""


class Lines:
    """Cuts text into lines, and hands out those that are complete together."""

    __slots__ = ("_decoder", "_ended", "_following")

    def __init__(self, following: Callable[[], Awaitable[str]], decoder: LineDecoder) -> None:
        self._following = following
        self._decoder = decoder
        self._ended = False

    async def following(self) -> list[str]:
        """Return the next lines, at least one; none at the end."""
        while not self._ended:
            text = await self._following()
            self._ended = not text
            lines = self._decoder.feed(text) if text else self._decoder.flush()
            if lines:
                return lines
        return []
