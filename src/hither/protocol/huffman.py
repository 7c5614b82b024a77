"""The Huffman code for strings in HPACK and QPACK (RFC 7541 §5.2, Appendix B)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# How many bits each byte's code has, from 0x00 to 0xff and EOS, as digits of base 36. The code is canonical: codes of
# one length follow each other in the order of their symbols, and shorter ones come first. So it needs no other table.
_LENGTHS = (
    "dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6ca"
    "d67777777777777777777777878djde6f56565666577666567655677777fbeds"
    "kmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmn"
    "qqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrqu"
)
_EOS = 256
_PADDING = frozenset((1 << count) - 1 for count in range(1, 9))  # as paths: no bits to seven bits, and all of them ones
_MAX_LEARNT = 16 * 1024  # steps of the decoder, some 2 MB; ordinary strings need a few hundred

_bits: list[str] = []  # the codes to encode with
_symbols: dict[int, int] = {}  # paths to the symbols they end at
_states: dict[int, _State] = {}
_learnt = 0


def _codes() -> Iterator[tuple[int, int, int]]:
    """Yield each symbol with its code and the number of bits in it."""
    code = previous = 0
    for length, symbol in sorted((int(digit, 36), symbol) for symbol, digit in enumerate(_LENGTHS)):
        code <<= length - previous
        previous = length
        yield symbol, code, length
        code += 1


def encode(value: bytes) -> bytes:
    r"""Return the Huffman code of a string, which may be longer than the string.

    >>> encode(b"no-cache")
    b'\xa8\xeb\x10d\x9c\xbf'
    """
    if not value:
        return b""
    bits = _bits or _prepare_encoding()
    text = "".join([bits[byte] for byte in value])
    missing = -len(text) % 8
    return int(text + "1" * missing, 2).to_bytes((len(text) + missing) // 8, "big")


def _prepare_encoding() -> list[str]:
    bits = [""] * (_EOS + 1)
    for symbol, code, length in _codes():
        bits[symbol] = f"{code:0{length}b}"
    _bits[:] = bits
    return bits


def decode(data: bytes) -> bytes:
    r"""Return the string that was encoded; `ValueError` when `data` is no proper code of any.

    >>> decode(b"\xa8\xeb\x10d\x9c\xbf")
    b'no-cache'
    """
    state = _state(1)
    pieces = []
    for byte in data:
        piece, state = state[byte]
        pieces.append(piece)
    if state.path not in _PADDING:
        raise ValueError("a Huffman-coded string ends in something else than up to seven one bits")
    return b"".join(pieces)


def _state(path: int) -> _State:
    known = _states.get(path)
    return _State(path) if known is None else known


class _State(dict[int, tuple[bytes, "_State"]]):
    """Where the decoder stands between two bytes: from the next byte to what it completes, and the state after it.

    `path` is a one and then the bits read since the last complete symbol. A step is learnt when it is first taken,
    because nearly all of the 65536 are never needed.
    """

    __slots__ = ("path",)

    def __init__(self, path: int) -> None:
        self.path = path
        _states[path] = self

    def __repr__(self) -> str:
        return f"<_State {self.path:b}>"  # the states hold each other

    def __missing__(self, byte: int) -> tuple[bytes, _State]:
        global _learnt
        if not _symbols:
            _symbols.update({1 << length | code: symbol for symbol, code, length in _codes()})
        path = self.path
        piece = b""
        for shift in range(7, -1, -1):
            path = path << 1 | byte >> shift & 1
            symbol = _symbols.get(path)
            if symbol is None:
                continue
            if symbol == _EOS:
                raise ValueError("a Huffman-coded string contains the end-of-string symbol")
            piece += symbol.to_bytes(1, "big")
            path = 1
        if _learnt >= _MAX_LEARNT:
            _learnt = 0
            for state in list(_states.values()):
                state.clear()
        _learnt += 1
        step = self[byte] = piece, _state(path)
        return step
