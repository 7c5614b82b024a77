"""Header compression for HTTP/2 (RFC 7541): blocks of fields to bytes and back, no I/O, for either role.

What was coded once is remembered in three places, none of which changes what is coded, and all of which are bounded
and forgotten as a whole when they are full:

- whole blocks, per connection: those that refer to nothing in the dynamic table, and, until the table changes, those
  that do and leave it as it is. What a remembered block inserts is owed to the table until somebody looks into it;
- strings in Huffman code, for all connections;
- in the encoder: fields whose literal does not depend on the dynamic table.
"""

from __future__ import annotations

from collections import deque

from . import huffman

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, TypeVar

    from .events import Field

    Key = TypeVar("Key")
    Value = TypeVar("Value")

MAX_LIST_SIZE = 64 * 1024  # bytes, with 32 for each field; hpack's and nghttp2's
MAX_FIELDS = 256  # per block
INITIAL_TABLE_SIZE = 4096  # bytes; RFC 9113 §6.5.2, and all that our encoder ever uses
_ENTRY = 32  # bytes an entry counts besides its name and value; RFC 7541 §4.1
_MAX_INTEGER = 5  # bytes after the prefix, enough for 32 bits; hpack's
_MAX_UPDATES = 2  # table size updates in one block; RFC 7541 §4.2

# The whole blocks of a connection.
_MAX_BLOCKS = 64
_MAX_BLOCK = 1024  # bytes
_MAX_BLOCK_FIELDS = 64

# The literals of a connection.
_MAX_LITERALS = 128
_MAX_LITERAL = 1024  # bytes

# Strings of all connections.
_MAX_STRINGS = 512
_MAX_STRING = 512  # bytes
_decoded: dict[bytes, bytes] = {}
_encoded: dict[bytes, bytes] = {}

# RFC 7541, Appendix A. Counted from 1.
_STATIC_FIELDS: tuple[Field, ...] = (
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
)
_LAST_STATIC = 61
_STATIC = dict(enumerate(_STATIC_FIELDS, 1))
_STATIC_INDEXES = {field: index for index, field in _STATIC.items()}
_STATIC_NAMES = {_STATIC[index][0]: index for index in range(_LAST_STATIC, 0, -1)}  # the first of each name
_INDEXED = tuple(bytes((0x80 | index,)) for index in range(0x7F))  # RFC 7541 §6.1: what one byte can refer to

# RFC 7541 §7.1.3: not put into any table on the way. A short cookie could be guessed; nghttp2's bound.
_NEVER_INDEXED = frozenset({b"authorization", b"proxy-authorization"})
_SHORT_COOKIE = 20  # bytes
_CREDENTIALS = _NEVER_INDEXED | {b"cookie", b"set-cookie"}  # forgotten with the connection

# Nearly every value is a new one, which would only drive the lasting ones out of the table.
_CHANGING = frozenset(
    b":path age content-length content-md5 content-range date digest etag expires idempotency-key if-match"
    b" if-modified-since if-none-match if-range if-unmodified-since last-modified location range retry-after"
    b" set-cookie traceparent x-amzn-trace-id x-correlation-id x-request-id".split()
)


class HPACKError(Exception):
    """A block breaks the rules of RFC 7541: a connection error (COMPRESSION_ERROR). The decoder is of no use then."""


class FieldsTooLarge(HPACKError):
    """A block has more fields, or larger ones, than allowed.

    The decoder is in step with the encoder nevertheless (RFC 9113 §10.5.1), so that only the stream need end.
    """


class Block:
    """The fields of one block. It is shared by all blocks of the same bytes, so nobody changes the fields.

    `meaning` is for whoever interprets the fields, who then need not do it again.
    """

    __slots__ = ("added", "fields", "inserts", "meaning")

    def __init__(self, fields: list[Field], inserts: list[Field]) -> None:
        self.fields = fields
        self.meaning: Any = None
        self.inserts = inserts  # into the dynamic table
        self.added = sum([len(name) + len(value) + _ENTRY for name, value in inserts]) if inserts else 0

    def __repr__(self) -> str:
        return f"<Block {len(self.fields)} fields>"


class _Table:
    """A dynamic table (RFC 7541 §2.3.2): entries by their numbers, which only ever grow.

    The entry of index 62 is the newest, number `inserted - 1`.
    """

    __slots__ = ("capacity", "entries", "inserted", "size")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.entries: dict[int, Field] = {}
        self.inserted = 0
        self.size = 0

    def insert(self, field: Field) -> bool:
        """Add an entry (RFC 7541 §4.4), and tell whether that changed the table."""
        size = len(field[0]) + len(field[1]) + _ENTRY
        if size > self.capacity and not self.entries:
            return False
        if self.size + size > self.capacity:
            self.make_room(size)
        if size <= self.capacity:
            self.entries[self.inserted] = field
            self.inserted += 1
            self.size += size
        return True

    def make_room(self, size: int) -> None:
        while self.entries and self.size + size > self.capacity:
            self.drop_oldest()

    def drop_oldest(self) -> tuple[int, Field]:
        number = self.inserted - len(self.entries)
        field = self.entries.pop(number)
        self.size -= len(field[0]) + len(field[1]) + _ENTRY
        return number, field

    def resize(self, capacity: int) -> None:
        self.capacity = capacity
        self.make_room(0)


class Decoder:
    r"""Turns the blocks of one connection into fields, in the order they were received.

    `max_table_size` is what our SETTINGS_HEADER_TABLE_SIZE allows from the beginning; the table itself begins with
    4096 bytes at most. A list of fields counts each name and value and 32 bytes more (RFC 7541 §4.1).

    >>> Decoder().decode(b"\x88\x5c\x012").fields
    [(b':status', b'200'), (b'content-length', b'2')]
    """

    __slots__ = (
        "_allowed",
        "_blocks",
        "_lasting",
        "_max_fields",
        "_max_list_size",
        "_owed",
        "_owed_size",
        "_required",
        "_table",
    )

    def __init__(
        self,
        max_table_size: int = INITIAL_TABLE_SIZE,
        max_list_size: int = MAX_LIST_SIZE,
        max_fields: int = MAX_FIELDS,
    ) -> None:
        self._allowed = max_table_size
        self._required: int | None = None  # the next block must first make the table as small as this
        self._max_list_size = max_list_size
        self._max_fields = max_fields
        self._table = _Table(min(max_table_size, INITIAL_TABLE_SIZE))
        self._blocks: dict[bytes, Block] = {}  # those that depend on the dynamic table as it is
        self._lasting: dict[bytes, Block] = {}  # those that do not
        self._owed: deque[Block] = deque()  # lasting blocks that came again, and whose inserts are not made yet
        self._owed_size = 0

    def resize(self, max_table_size: int) -> None:
        """Set the largest table allowed, once the peer has acknowledged our SETTINGS_HEADER_TABLE_SIZE."""
        self._allowed = max_table_size
        if max_table_size < self._table.capacity:
            # RFC 9113 §4.3.1: the next block must begin with an update, to the smallest of several sizes (§4.2).
            self._required = max_table_size if self._required is None else min(max_table_size, self._required)
            self._blocks.clear()
            self._lasting.clear()

    def decode(self, block: bytes) -> Block:
        """Return the fields of a block; `HPACKError` when it breaks the rules, `FieldsTooLarge` when it is too much."""
        known = self._lasting.get(block)
        if known is not None:
            if known.inserts:
                self._owe(known)
            return known
        if self._owed:
            self._pay()
        known = self._blocks.get(block)
        if known is not None:
            return known
        try:
            return self._decode(block)
        except IndexError:
            raise HPACKError("a header block ends within a field") from None
        except KeyError:
            raise HPACKError("a header block refers to an entry that is not in the table") from None
        except ValueError as error:
            raise HPACKError(str(error)) from error

    def _owe(self, block: Block) -> None:
        """Put off what a block inserts. What would be driven out by the rest is never inserted."""
        owed = self._owed
        owed.append(block)
        size = self._owed_size + block.added
        capacity = self._table.capacity
        while len(owed) > 1 and size - owed[0].added >= capacity:
            size -= owed.popleft().added
        self._owed_size = size

    def _pay(self) -> None:
        """Insert what is owed to the table."""
        for block in self._owed:
            for field in block.inserts:
                self._table.insert(field)
        self._owed.clear()
        self._owed_size = 0
        self._blocks.clear()

    def _decode(self, block: bytes) -> Block:
        table = self._table
        entries = table.entries
        limit = self._max_list_size
        fields: list[Field] = []
        inserts: list[Field] = []
        size = 0
        depends = False  # on the dynamic table
        position = 0
        end = len(block)
        if self._required is not None or (end and block[0] & 0xE0 == 0x20):
            position = self._take_updates(block)
        updates = position > 0
        while position < end:
            first = block[position]
            position += 1
            if first & 0xE0 == 0x20:
                raise HPACKError("a header block changes the table's size after its beginning")
            most = 0x7F if first >= 0x80 else 0x3F if first >= 0x40 else 0x0F
            index = first & most
            if index == most:
                index, position = _read_integer(block, position, most)
            if index > _LAST_STATIC:
                field = entries[table.inserted + _LAST_STATIC - index]
                depends = True
            elif index or first >= 0x80:
                field = _STATIC[index]
            if first < 0x80:  # RFC 7541 §6.2: a literal, with the name of that entry or a literal one
                if index:
                    name = field[0]
                else:
                    name, position = _read_string(block, position)
                value, position = _read_string(block, position)
                field = name, value
                if first >= 0x40:
                    inserts.append(field)
                    if table.insert(field):
                        self._blocks.clear()
            size += len(field[0]) + len(field[1]) + _ENTRY
            if size <= limit:
                fields.append(field)
        if size > limit or len(fields) > self._max_fields:
            raise FieldsTooLarge(f"a header block holds more than {limit} bytes or {self._max_fields} fields")
        decoded = Block(fields, inserts)
        if not updates and not (depends and inserts) and end <= _MAX_BLOCK and len(fields) <= _MAX_BLOCK_FIELDS:
            _remember(block, decoded, self._blocks if depends else self._lasting, _MAX_BLOCKS)
        return decoded

    def _take_updates(self, block: bytes) -> int:
        """RFC 7541 §6.3: take the table size updates that a block begins with, and return where its fields begin."""
        position = 0
        for _ in range(_MAX_UPDATES):
            if position == len(block) or block[position] & 0xE0 != 0x20:
                break
            size = block[position] & 0x1F
            position += 1
            if size == 0x1F:
                size, position = _read_integer(block, position, 0x1F)
            most = self._allowed if self._required is None else self._required
            if size > most:
                raise HPACKError(f"a header block sets the table's size to {size} bytes where {most} are allowed")
            self._required = None
            self._blocks.clear()
            self._table.resize(size)
        if self._required is not None:
            raise HPACKError("a header block does not make the table as small as our settings say")
        return position


def _remember(key: Key, value: Value, known: dict[Key, Value], most: int) -> None:
    if len(known) >= most:
        known.clear()
    known[key] = value


def _read_integer(block: bytes, position: int, prefix: int) -> tuple[int, int]:
    """RFC 7541 §5.1: return the integer whose first bits were all ones, and where it ends."""
    value = prefix
    for shift in range(0, 7 * _MAX_INTEGER, 7):
        byte = block[position]
        position += 1
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise HPACKError(f"a header block contains an integer of more than {_MAX_INTEGER} bytes")


def _read_string(block: bytes, position: int) -> tuple[bytes, int]:
    """RFC 7541 §5.2: return the string at a position, and where it ends."""
    first = block[position]
    position += 1
    length = first & 0x7F
    if length == 0x7F:
        length, position = _read_integer(block, position, 0x7F)
    end = position + length
    data = block[position:end]
    if len(data) != length:
        raise HPACKError("a header block ends within a string")
    if first < 0x80:
        return data, end
    value = _decoded.get(data)
    if value is None:
        value = huffman.decode(data)
        if length <= _MAX_STRING:
            _remember(data, value, _decoded, _MAX_STRINGS)
    return value, end


class _SearchableTable(_Table):
    """A dynamic table that knows the number of each field, and the newest for each name."""

    __slots__ = ("names", "numbers")

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.numbers: dict[Field, int] = {}
        self.names: dict[bytes, int] = {}

    def insert(self, field: Field) -> bool:
        number = self.inserted
        changed = super().insert(field)
        if self.inserted > number:
            self.numbers[field] = self.names[field[0]] = number
        return changed

    def drop_oldest(self) -> tuple[int, Field]:
        number, field = super().drop_oldest()
        del self.numbers[field]
        if self.names[field[0]] == number:
            del self.names[field[0]]
        return number, field


class Encoder:
    r"""Turns fields into the blocks of one connection, in the order they are sent.

    Names are lower case already. Credentials are marked as never to be indexed, and what changes with every message
    is kept out of the table.

    >>> Encoder().encode([(b":status", b"200"), (b"content-length", b"2")])
    b'\x88\x0f\r\x012'
    """

    __slots__ = ("_blocks", "_literals", "_signalled", "_smallest", "_table", "_updates")

    def __init__(self) -> None:
        self._table = _SearchableTable(INITIAL_TABLE_SIZE)
        self._signalled = INITIAL_TABLE_SIZE  # the table's size as the decoder knows it
        self._smallest = INITIAL_TABLE_SIZE  # its smallest size since then
        self._updates = b""  # what tells the decoder
        self._blocks: dict[tuple[Field, ...], bytes] = {}
        self._literals: dict[Field, bytes] = {}

    def resize(self, max_table_size: int) -> None:
        """Take the peer's SETTINGS_HEADER_TABLE_SIZE; not between the parts of one block."""
        capacity = min(max_table_size, INITIAL_TABLE_SIZE)
        if capacity == self._table.capacity:
            return
        self._table.resize(capacity)
        self._smallest = min(self._smallest, capacity)
        # RFC 7541 §4.2: the smallest size and the last, unless the decoder's table is as large already.
        self._updates = b""
        if self._smallest < self._signalled:
            self._updates = _integer(self._smallest, 0x1F, 0x20)
        if capacity > self._smallest:
            self._updates += _integer(capacity, 0x1F, 0x20)
        self._blocks.clear()
        self._literals.clear()

    def encode(self, fields: Sequence[Field]) -> bytes:
        """Return the block of these fields, or the next part of one: the parts in a row are one block."""
        key = tuple(fields)
        known = self._blocks.get(key)
        return self._encode(key) if known is None else known

    def _encode(self, fields: tuple[Field, ...]) -> bytes:
        table = self._table
        literal_of = self._literals.get
        number_of = table.numbers.get
        inserted = table.inserted
        parts = [self._updates]
        repeats = not self._updates
        if self._updates:
            self._updates = b""
            self._signalled = self._smallest = table.capacity
        for field in fields:
            part = literal_of(field)
            if part is None:
                number = number_of(field)
                if number is None:
                    part = self._encode_new(field)
                else:
                    index = table.inserted + _LAST_STATIC - number
                    part = _INDEXED[index] if index < 0x7F else _integer(index, 0x7F, 0x80)
            parts.append(part)
        block = b"".join(parts)
        if repeats and table.inserted == inserted and len(fields) <= _MAX_BLOCK_FIELDS and len(block) <= _MAX_BLOCK:
            _remember(fields, block, self._blocks, _MAX_BLOCKS)
        return block

    def _encode_new(self, field: Field) -> bytes:
        """Encode a field that is not in the dynamic table and, if it may be of use there, insert it."""
        if field in _STATIC_INDEXES:
            return self._keep(field, _INDEXED[_STATIC_INDEXES[field]])
        table = self._table
        name, value = field
        string = _string(value) if name in _CREDENTIALS else _known_string(value)
        index = _STATIC_NAMES.get(name, 0)
        if name in _NEVER_INDEXED or (name == b"cookie" and len(value) < _SHORT_COOKIE):
            return self._keep(field, _literal(0x0F, 0x10, index, name, string))
        if name in _CHANGING or 4 * (len(name) + len(value) + _ENTRY) > 3 * table.capacity:
            # An entry that takes the table for itself is not worth it; nghttp2's bound.
            return self._keep(field, _literal(0x0F, 0x00, index, name, string))
        if not index and name in table.names:
            index = table.inserted + _LAST_STATIC - table.names[name]
        table.insert(field)
        self._blocks.clear()
        return _literal(0x3F, 0x40, index, name, string)

    def _keep(self, field: Field, code: bytes) -> bytes:
        if len(code) <= _MAX_LITERAL:
            _remember(field, code, self._literals, _MAX_LITERALS)
        return code


def _integer(value: int, prefix: int, pattern: int) -> bytes:
    """RFC 7541 §5.1: an integer behind the bits of a pattern, `prefix` being the largest that fits there."""
    if value < prefix:
        return bytes((pattern | value,))
    code = bytearray((pattern | prefix,))
    value -= prefix
    while value >= 0x80:
        code.append(value & 0x7F | 0x80)
        value >>= 7
    code.append(value)
    return bytes(code)


def _literal(prefix: int, pattern: int, index: int, name: bytes, value: bytes) -> bytes:
    """RFC 7541 §6.2: a literal whose name is that of an entry, or itself literal when `index` is 0."""
    if index:
        return _integer(index, prefix, pattern) + value
    return b"".join((pattern.to_bytes(1, "big"), _known_string(name), value))


def _string(value: bytes) -> bytes:
    """RFC 7541 §5.2: a string, in Huffman code if that is shorter."""
    code = huffman.encode(value)
    if len(code) < len(value):
        return _integer(len(code), 0x7F, 0x80) + code
    return _integer(len(value), 0x7F, 0x00) + value


def _known_string(value: bytes) -> bytes:
    """Like `_string`, for what may be remembered beyond the connection."""
    code = _encoded.get(value)
    if code is None:
        code = _string(value)
        if len(value) <= _MAX_STRING:
            _remember(value, code, _encoded, _MAX_STRINGS)
    return code
