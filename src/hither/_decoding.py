"""Content codings (RFC 9110 §8.4): gzip, deflate, br and zstd, taken apart step by step and within bounds.

A decoder is fed what came from the network and read in pieces of at most `max_length` bytes, so a few
kilobytes that would inflate to gigabytes cost no more memory than one piece. It does no I/O.

    feed(data) ──► read(max_length) until b"" ──► feed ... ──► finish()
"""

from __future__ import annotations

import sys
from functools import cache, partial
from importlib import import_module

from ._errors import DecodingError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# curl: MAX_ENCODE_STACK 5, after CVE-2022-32206 (a response with endless chained codings).
MAX_LAYERS = 5

# How much input one step takes. zlib copies the input it could not use yet, once per step: small slices
# keep that linear however much was fed at once. curl reads 16 KiB at a time too (CURL_MAX_WRITE_SIZE).
_SLICE = 16 * 1024

# What one coding may hand to the next before that one must give a byte: twice the largest window that a
# zstd decoder has to support (RFC 9659 §3: 8 MiB). Else a bomb of padding would spin in one `read`.
_MAX_SILENT = 16 * 1024 * 1024

# Frames without content in a row. Each costs a new decoder and its sender nine bytes, so a flood of them is
# stopped where nghttp2 stops one (NGHTTP2_DEFAULT_MAX_OBQ_FLOOD_ITEM).
_MAX_EMPTY_FRAMES = 1000

# RFC 9659 §3: "zstd" content needs no window above 8 MB, and a decoder may refuse a larger one.
_ZSTD_WINDOW_LOG = 23


class Decoder:
    """Takes one content coding off. Feed it, then read until it gives `b""`; at the end of the body `finish`.

    >>> import zlib
    >>> decoder = make_decoder("deflate")
    >>> decoder.feed(zlib.compress(b"abc" * 3))
    >>> decoder.read(5), decoder.read(5), decoder.read(5)
    (b'abcab', b'cabc', b'')
    >>> decoder.finish()
    """

    __slots__ = ("_at", "_full", "_input")
    _slice = _SLICE

    def __init__(self) -> None:
        self._input = b""
        self._at = 0
        self._full = False  # the last step stopped for want of room: the next one needs no new input

    @property
    def needs_input(self) -> bool:
        """Whether everything that was fed is used up."""
        return not self._full and self._at >= len(self._input)

    def feed(self, data: bytes) -> None:
        """Add encoded bytes. No work is done before `read`."""
        rest = self._input[self._at :]
        self._input = rest + data if rest else data
        self._at = 0

    def read(self, max_length: int) -> bytes:
        """At most `max_length` (1 or more) decoded bytes; `b""` when more input is needed.

        Raises `DecodingError` when the input is not what the coding allows.
        """
        if max_length < 1:
            raise ValueError(f"max_length must be 1 or more, not {max_length}")
        while not self.needs_input:
            data = b"" if self._full else self._next_slice()
            piece = self._step(data, max_length)
            if piece:
                return piece
        return b""

    def finish(self) -> None:
        """The body has ended: `DecodingError` when the coding has not. A body of no bytes is fine."""
        raise NotImplementedError

    def _step(self, data: bytes, max_length: int) -> bytes:
        """Take `data` (empty when `_full` is set) and give what comes out; sets `_full`."""
        raise NotImplementedError

    def _next_slice(self) -> bytes:
        data, start = self._input, self._at
        self._at = start + self._slice
        if start == 0 and len(data) <= self._slice:
            return data
        return data[start : start + self._slice]


class _ZlibDecoder(Decoder):
    """What gzip and deflate share: one zlib stream, its unused input, and the check at the end."""

    __slots__ = ("_any", "_tail", "_zlib")
    coding = "zlib"

    def __init__(self) -> None:
        super().__init__()
        self._zlib: Any = None
        self._tail = b""  # given to a step and not used by it
        self._any = False

    def finish(self) -> None:
        if self._zlib is not None or (self._tail and not self._any):
            raise DecodingError(f"the {self.coding} content is truncated")

    def _inflate(self, data: bytes, max_length: int) -> bytes:
        import zlib

        stream = self._zlib
        try:
            piece: bytes = stream.decompress(data, max_length)
        except zlib.error as exc:
            raise DecodingError(f"the content is not valid {self.coding}: {exc}") from exc
        if stream.eof:
            self._tail = stream.unused_data
            self._zlib = None
            self._full = bool(self._tail)
        else:
            # zlib may hold back output without any input left, so a full piece means: ask again.
            self._tail = stream.unconsumed_tail
            self._full = len(piece) == max_length or bool(self._tail)
        return piece


class _GzipDecoder(_ZlibDecoder):
    """gzip, one member after the other (RFC 1952 §2.2); whatever else follows a member is ignored.

    Servers pad with zeros or append junk; browsers and curl do not mind it.
    """

    __slots__ = ("_junk",)
    coding = "gzip"

    def __init__(self) -> None:
        super().__init__()
        self._junk = False

    def _step(self, data: bytes, max_length: int) -> bytes:
        if self._junk:
            return b""
        data = self._tail + data if self._tail else data
        if self._zlib is None:
            if self._any:
                data = data.lstrip(b"\0")
            if not self._begins_member(data):
                self._tail = data
                self._full = False
                return b""
        return self._inflate(data, max_length)

    def _begins_member(self, data: bytes) -> bool:
        # RFC 1952 §2.3.1: ID1 = 31, ID2 = 139. The first member is checked by zlib.
        if self._any and data[:2] != b"\x1f\x8b":
            self._junk = data not in (b"", b"\x1f")
            return False
        import zlib

        self._any = True
        self._zlib = zlib.decompressobj(zlib.MAX_WBITS | 16)
        return True


class _DeflateDecoder(_ZlibDecoder):
    """deflate: the zlib format (RFC 9110 §8.4.1.2), or the bare deflate stream that some servers send."""

    __slots__ = ()
    coding = "deflate"

    def _step(self, data: bytes, max_length: int) -> bytes:
        data = self._tail + data if self._tail else data
        if self._zlib is None:
            if self._any or len(data) < 2:
                # After the end: ignored, as gzip's. Before it: two bytes tell which of the two formats it is.
                self._tail = b"" if self._any else data
                self._full = False
                return b""
            self._open(data)
        return self._inflate(data, max_length)

    def _open(self, data: bytes) -> None:
        import zlib

        # RFC 1950 §2.2: CM = 8, CINFO <= 7, and the two bytes are a multiple of 31. A bare stream cannot
        # look so by chance: its first byte would be a stored block with padding bits that are not zero.
        cmf, flg = data[0], data[1]
        has_header = cmf & 0x0F == 8 and cmf >> 4 <= 7 and (cmf << 8 | flg) % 31 == 0
        self._any = True
        self._zlib = zlib.decompressobj(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)


class _BrotliDecoder(Decoder):
    """br (RFC 7932), by `brotli` or `brotlicffi`. Bytes after the end of the stream are an error."""

    __slots__ = ("_any", "_brotli", "_error", "_spill", "_spill_at")

    def __init__(self, module: Any) -> None:
        super().__init__()
        self._brotli = module.Decompressor()
        self._error: type[Exception] = module.error
        self._any = False
        self._spill = b""  # brotli rounds its limit up to whole blocks of up to 64 KiB
        self._spill_at = 0

    def finish(self) -> None:
        if self._any and not self._brotli.is_finished():
            raise DecodingError("the br content is truncated")

    def _step(self, data: bytes, max_length: int) -> bytes:
        if self._spill:
            return self._from_spill(max_length)
        self._any = True
        try:
            piece = self._process(data, max_length)
        except self._error as exc:
            raise DecodingError(f"the content is not valid br: {exc}") from exc
        if len(piece) <= max_length:
            return piece
        self._spill, self._spill_at = piece, 0
        return self._from_spill(max_length)

    def _from_spill(self, max_length: int) -> bytes:
        start = self._spill_at
        piece = self._spill[start : start + max_length]
        self._spill_at = start + max_length
        if self._spill_at >= len(self._spill):
            self._spill = b""
        self._full = True
        return piece

    def _process(self, data: bytes, max_length: int) -> bytes:
        stream = self._brotli
        piece: bytes = stream.process(data, output_buffer_limit=max_length)
        # Output may be held back without any input left, so after a piece: ask again.
        self._full = not stream.is_finished() and (bool(piece) or not stream.can_accept_more_data())
        return piece


class _OldBrotliDecoder(_BrotliDecoder):
    """br by a module from before 1.2, which has no limit to set: what one step gives is bounded by its input.

    64 bytes hold only so many meta-blocks, of at most 16 MiB each (RFC 7932 §9.2).
    """

    __slots__ = ()
    _slice = 64

    def _process(self, data: bytes, max_length: int) -> bytes:
        self._full = False
        piece: bytes = self._brotli.process(data) if data else b""
        return piece


class _ZstdDecoder(Decoder):
    """zstd (RFC 8878), frame after frame; skippable frames give nothing."""

    __slots__ = ("_empty", "_error", "_frame", "_open", "_tail")

    def __init__(self, module: Any) -> None:
        super().__init__()
        options = {module.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
        self._open = partial(module.ZstdDecompressor, options=options)
        self._error: type[Exception] = module.ZstdError
        self._frame: Any = None
        self._tail = b""
        self._empty = 0

    def finish(self) -> None:
        if self._frame is not None:
            raise DecodingError("the zstd content is truncated")

    def _step(self, data: bytes, max_length: int) -> bytes:
        frame = self._frame
        if frame is None:
            data, self._tail = self._tail + data, b""
            frame = self._frame = self._open()
            self._empty += 1
            if self._empty > _MAX_EMPTY_FRAMES:
                raise DecodingError(f"more than {_MAX_EMPTY_FRAMES} zstd frames in a row hold no content")
        try:
            piece: bytes = frame.decompress(data, max_length)
        except self._error as exc:
            raise DecodingError(f"the content is not valid zstd: {exc}") from exc
        if frame.eof:
            self._frame = None
            self._tail = frame.unused_data
            self._full = bool(self._tail)
        else:
            self._full = not frame.needs_input
        if piece:
            self._empty = 0
        return piece


class _Chain(Decoder):
    """Two codings, one over the other: what `outer` gives is fed to `inner`."""

    __slots__ = ("_inner", "_outer", "_silent")

    def __init__(self, outer: Decoder, inner: Decoder) -> None:
        super().__init__()
        self._outer = outer
        self._inner = inner
        self._silent = 0

    @property
    def needs_input(self) -> bool:
        return self._inner.needs_input and self._outer.needs_input

    def feed(self, data: bytes) -> None:
        self._outer.feed(data)

    def read(self, max_length: int) -> bytes:
        while True:
            piece = self._inner.read(max_length)
            if piece:
                self._silent = 0
                return piece
            between = self._outer.read(_SLICE)
            if not between:
                return b""
            self._silent += len(between)
            if self._silent > _MAX_SILENT:
                raise DecodingError(f"{_MAX_SILENT} bytes between two content codings hold no content")
            self._inner.feed(between)

    def finish(self) -> None:
        self._outer.finish()
        self._inner.finish()


def _open_brotli(module: Any) -> Decoder:
    bounded = hasattr(module.Decompressor, "can_accept_more_data")
    return _BrotliDecoder(module) if bounded else _OldBrotliDecoder(module)


def _brotli_module() -> Any:
    try:
        return import_module("brotli")
    except ImportError:
        return import_module("brotlicffi")


def _zstd_module() -> Any:
    return import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")


def _open_decoder(coding: str) -> Decoder | None:
    """The decoder of one coding; `None` when the coding is unknown or its module is not installed."""
    if coding in ("gzip", "x-gzip"):  # RFC 9110 §8.4.1.3: x-gzip is the same as gzip
        return _GzipDecoder()
    if coding == "deflate":
        return _DeflateDecoder()
    try:
        if coding == "br":
            return _open_brotli(_brotli_module())
        if coding == "zstd":
            return _ZstdDecoder(_zstd_module())
    except ImportError:
        pass
    return None


def make_decoder(content_encoding: str) -> Decoder | None:
    """The decoder for a Content-Encoding value, or `None` when the body is to be left as it is.

    Codings are taken off from the last to the first (RFC 9110 §8.4) up to one that is not known here;
    what that one covers stays encoded. Raises `DecodingError` for more than `MAX_LAYERS` codings.

    >>> make_decoder("identity") is None, make_decoder("x-unknown") is None
    (True, True)
    >>> type(make_decoder("gzip")) is type(make_decoder("X-GZIP"))
    True
    """
    decoder: Decoder | None = None
    layers = 0
    for token in reversed(content_encoding.split(",")):
        coding = token.strip().lower()
        if coding in ("", "identity"):
            continue
        layers += 1
        if layers > MAX_LAYERS:
            raise DecodingError(f"more than {MAX_LAYERS} content codings")
        inner = _open_decoder(coding)
        if inner is None:
            break
        decoder = inner if decoder is None else _Chain(decoder, inner)
    return decoder


@cache
def supported_encodings() -> bytes:
    """The value for Accept-Encoding: what this process can decode. Imports none of the codecs.

    >>> supported_encodings().startswith(b"gzip, deflate")
    True
    """
    names = [b"gzip", b"deflate"]
    if _is_installed("brotli") or _is_installed("brotlicffi"):
        names.append(b"br")
    if _is_installed("_zstd" if sys.version_info >= (3, 14) else "backports.zstd"):
        names.append(b"zstd")
    return b", ".join(names)


def _is_installed(module: str) -> bool:
    from importlib.util import find_spec

    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # its parent package is missing
        return False
