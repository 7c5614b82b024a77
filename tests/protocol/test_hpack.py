"""HPACK by the examples of RFC 7541, beside the `hpack` package, and against peers that break or abuse it."""

import tracemalloc

import hpack as oracle
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hither.protocol import hpack, huffman
from hither.protocol.hpack import Decoder, Encoder, FieldsTooLarge, HPACKError


def pairs(text):
    """Fields as the RFC writes them."""
    return [tuple(part.encode() for part in line.strip().split(": ", 1)) for line in text.strip().splitlines()]


def table_of(coder):
    """The dynamic table, the newest entry first."""
    if isinstance(coder, Decoder):
        coder._pay()
    entries = coder._table.entries
    return [entries[number] for number in sorted(entries, reverse=True)]


def forget(*coders):
    """Empty every cache, and only those."""
    hpack._decoded.clear()
    hpack._encoded.clear()
    huffman._states.clear()
    for coder in coders:
        coder._blocks.clear()
        (coder._lasting if isinstance(coder, Decoder) else coder._literals).clear()


def literal(name, value, first=b"\0"):
    """A literal field without Huffman code, with a literal name."""
    return first + hpack._integer(len(name), 0x7F, 0) + name + hpack._integer(len(value), 0x7F, 0) + value


def update(size):
    return hpack._integer(size, 0x1F, 0x20)


# RFC 7541, Appendix C

INTEGERS = [(10, 0x1F, "0a"), (1337, 0x1F, "1f9a0a"), (42, 0xFF, "2a")]  # C.1

SINGLE = [  # C.2: the block, its field, whether it goes into the table
    ("400a637573746f6d2d6b65790d637573746f6d2d686561646572", (b"custom-key", b"custom-header"), True),
    ("040c2f73616d706c652f70617468", (b":path", b"/sample/path"), False),
    ("100870617373776f726406736563726574", (b"password", b"secret"), False),
    ("82", (b":method", b"GET"), False),
]

REQUESTS = [  # C.3 and C.4: without and with Huffman code, the fields, the table's size
    (
        "828684410f7777772e6578616d706c652e636f6d",
        "828684418cf1e3c2e5f23a6ba0ab90f4ff",
        pairs(":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com"),
        57,
    ),
    (
        "828684be58086e6f2d6361636865",
        "828684be5886a8eb10649cbf",
        pairs(":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\ncache-control: no-cache"),
        110,
    ),
    (
        "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
        "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
        pairs(
            ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\ncustom-key: custom-value"
        ),
        164,
    ),
]

RESPONSES = [  # C.5 and C.6: the same, with a table of 256 bytes
    (
        "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f"
        "7777772e6578616d706c652e636f6d",
        "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
        pairs(
            ":status: 302\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\n"
            "location: https://www.example.com"
        ),
        222,
    ),
    (
        "4803333037c1c0bf",
        "4883640effc1c0bf",
        pairs(
            ":status: 307\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\n"
            "location: https://www.example.com"
        ),
        222,
    ),
    (
        "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b42"
        "5a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31",
        "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f"
        "3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
        pairs(
            ":status: 200\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:22 GMT\n"
            "location: https://www.example.com\ncontent-encoding: gzip\n"
            "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"
        ),
        215,
    ),
]


@pytest.mark.parametrize(("value", "prefix", "code"), INTEGERS)
def test_integers_of_the_rfc(value, prefix, code):
    code = bytes.fromhex(code)
    assert hpack._integer(value, prefix, 0) == code
    if value >= prefix:
        assert hpack._read_integer(code, 1, prefix) == (value, len(code))


@pytest.mark.parametrize(("code", "field", "inserted"), SINGLE)
def test_representations_of_the_rfc(code, field, inserted):
    decoder = Decoder()
    assert decoder.decode(bytes.fromhex(code)).fields == [field]
    assert table_of(decoder) == ([field] if inserted else [])


@pytest.mark.parametrize("column", [0, 1], ids=["plain", "Huffman"])
@pytest.mark.parametrize(
    ("messages", "table_size"), [(REQUESTS, 4096), (RESPONSES, 256)], ids=["requests", "responses"]
)
def test_messages_of_the_rfc_are_decoded(messages, table_size, column):
    decoder = Decoder(max_table_size=table_size)
    for message in messages:
        assert decoder.decode(bytes.fromhex(message[column])).fields == message[2]
        assert decoder._table.size == message[3]
    if messages is RESPONSES:
        assert [name for name, _ in table_of(decoder)] == [b"set-cookie", b"content-encoding", b"date"]


def test_requests_of_the_rfc_are_encoded():
    encoder = Encoder()
    for _, code, fields, size in REQUESTS:
        assert encoder.encode(fields).hex() == code
        assert encoder._table.size == size


def test_responses_of_the_rfc_are_encoded():
    """Date, Location and Set-Cookie stay out of our table, so these bytes are not the RFC's, but as short."""
    encoder, decoder = Encoder(), oracle.Decoder()
    encoder.resize(256)
    for _, _, fields, _ in RESPONSES:
        assert decoder.decode(encoder.encode(fields), raw=True) == fields
    assert table_of(encoder) == [
        (b"content-encoding", b"gzip"),
        (b":status", b"307"),
        (b"cache-control", b"private"),
        (b":status", b"302"),
    ]


# Beside the hpack package

NAMES = st.sampled_from(
    [
        b":path",
        b":authority",
        b"accept",
        b"cookie",
        b"authorization",
        b"content-length",
        b"x-a",
        b"x-b",
        b"x-c",
        b"date",
    ]
) | st.binary(max_size=6)
VALUES = (
    st.sampled_from([b"", b"a", b"GET", b"/", b"gzip, deflate", b"x" * 40, b"0123456789" * 9, b"\xff\0" * 50])
    | st.binary(max_size=12)
    | st.integers(0, 400).map(lambda count: b"v" * count)
)
STATIC = st.sampled_from(hpack._STATIC_FIELDS)
FIELDS = st.lists(STATIC | st.tuples(NAMES, VALUES), max_size=8)
TABLE_SIZES = st.sampled_from([0, 1, 32, 33, 64, 100, 150, 300, 1000, 4095, 4096])
# A block, or the new limits of the table: one, or a smaller and then a larger one.
STEPS = st.lists(FIELDS | TABLE_SIZES | st.tuples(TABLE_SIZES, TABLE_SIZES).map(sorted).map(tuple), max_size=20)


@st.composite
def sessions(draw):
    """Steps some of which come again."""
    steps = draw(STEPS)
    return [*steps, *draw(st.lists(st.sampled_from(steps), max_size=20))] if steps else steps


def limits(step):
    """The sizes of a step that is no block."""
    return step if isinstance(step, tuple) else (step,)


def in_turn(steps):
    """At most one change of the limits before each block, none of which changes nothing."""
    size = 4096
    changed = False
    for step in steps:
        if isinstance(step, list):
            changed = False
            yield step
        elif not changed:
            sizes = [each for place, each in enumerate(limits(step)) if each != (size, *limits(step))[place]]
            if len(sizes) == len(limits(step)):
                changed = True
                size = sizes[-1]
                yield tuple(sizes)


@given(sessions())
def test_what_we_encode_hpack_decodes(steps):
    encoder, decoder, own = Encoder(), oracle.Decoder(max_header_list_size=1 << 20), Decoder()
    for step in steps:
        if isinstance(step, list):
            block = encoder.encode(step)
            assert decoder.decode(block, raw=True) == step
            assert own.decode(block).fields == step
            assert table_of(encoder) == list(decoder.header_table.dynamic_entries)
        else:
            for size in limits(step):
                encoder.resize(size)
                own.resize(size)
            decoder.max_allowed_table_size = limits(step)[-1]
    if not encoder._updates:
        assert table_of(own) == table_of(encoder)
        assert own._table.size == encoder._table.size <= encoder._table.capacity == own._table.capacity


@given(sessions(), st.data())
def test_what_hpack_encodes_we_decode(steps, data):
    encoder, decoder = oracle.Encoder(), Decoder()
    for step in in_turn(steps):
        if isinstance(step, list):
            flags = data.draw(st.lists(st.booleans(), min_size=len(step) + 1, max_size=len(step) + 1))
            fields = [oracle.NeverIndexedHeaderTuple(*field) if flag else field for field, flag in zip(step, flags)]
            assert decoder.decode(encoder.encode(fields, huffman=flags[-1])).fields == step
            if flags[-1]:
                assert table_of(decoder) == list(encoder.header_table.dynamic_entries)
        else:
            for size in step:
                encoder.header_table_size = size
                decoder.resize(size)


A, B, C, D = (literal(name, b"1", b"\x40") for name in (b"a", b"b", b"c", b"d"))  # entries of 34 bytes


@st.composite
def raw_blocks(draw):
    """Blocks as a peer might send them who inserts the same fields again and again, or looks for old ones."""
    pieces = st.sampled_from([b"\x82", b"\x88", b"\xbe", b"\xbf", b"\xc2", b"\x7e\1n", b"\x0f\x2f\1m"]) | st.builds(
        literal,
        st.sampled_from([b"", b"a", b"b"]),
        st.sampled_from([b"1", b"2" * 30]),
        st.sampled_from([b"\0", b"\x40"]),
    )
    starts = st.sampled_from([b""] * 6 + [update(0), update(70), update(150), update(0) + update(200)])
    pool = draw(st.lists(st.builds(bytes.__add__, starts, st.lists(pieces, max_size=4).map(b"".join)), min_size=1))
    return draw(st.lists(st.sampled_from(pool), max_size=30))


@settings(max_examples=300)
@given(st.sampled_from([0, 40, 70, 100, 4096]), raw_blocks())
@example(4096, [A, b"\xbe", A, b"\xbf"])
@example(4096, [A, B, b"\xbe", A, b"\xbe"])
@example(4096, [A, b"\xbe", update(0), b"\xbe"])
@example(70, [A, B, A, b"\xbf"])
@example(4096, [A, B, A, B, b"\xbe\xbf\xc0\xc1"])
@example(3 * 34, [A, B, C, D, D, D, D, b"\xbe", A, B, C])
@example(3 * 34, [A, B, C, A, b"\xbe", A, b"\xbe", A, b"\xbe", B, C])
def test_what_is_inserted_again_and_again_is_in_the_table(size, blocks):
    decoder, reference = Decoder(max_table_size=size), oracle.Decoder()
    reference.header_table_size = reference.max_allowed_table_size = size
    for block in blocks:
        expected = read_by(reference, block)
        if expected is None:
            with pytest.raises(HPACKError):
                decoder.decode(block)
            return
        assert decoder.decode(block).fields == expected
    assert table_of(decoder) == list(reference.header_table.dynamic_entries)


@given(sessions(), st.data())
def test_the_parts_of_a_block_make_one_block(steps, data):
    encoder, decoder = Encoder(), Decoder()
    for step in steps:
        if isinstance(step, list):
            cut = data.draw(st.integers(0, len(step)))
            assert decoder.decode(encoder.encode(step[:cut]) + encoder.encode(step[cut:])).fields == step
        else:
            for size in limits(step):
                encoder.resize(size)
                decoder.resize(size)


@given(sessions())
@example([[(b"a", b"b")], 0, [(b"a", b"b")], [(b"a", b"b")], 4096, [(b"a", b"b")], [(b"a", b"b")]])
def test_caches_change_nothing(steps):
    encoder, decoder, forgetful_encoder, forgetful_decoder = Encoder(), Decoder(), Encoder(), Decoder()
    for step in steps:
        if isinstance(step, list):
            block = encoder.encode(step)
            decoded = decoder.decode(block)
            forget(forgetful_encoder, forgetful_decoder)
            assert forgetful_encoder.encode(step) == block
            assert forgetful_decoder.decode(block).fields == decoded.fields == step
        else:
            for coder in (encoder, decoder, forgetful_encoder, forgetful_decoder):
                for size in limits(step):
                    coder.resize(size)
    assert table_of(decoder) == table_of(forgetful_decoder)


@st.composite
def damaged(draw):
    """Blocks of one connection with some bytes changed, or none at all but random ones."""
    if draw(st.booleans()):
        return draw(st.lists(st.binary(max_size=30), max_size=5))
    encoder = oracle.Encoder()
    blocks = [bytearray(encoder.encode(fields, huffman=draw(st.booleans()))) for fields in draw(st.lists(FIELDS))]
    for block in blocks:
        for _ in range(draw(st.integers(0, 2))):
            at = draw(st.integers(0, len(block)))
            block[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
    return [bytes(block) for block in blocks]


def updates_at_the_beginning(block):
    count = position = 0
    while position < len(block) and block[position] & 0xE0 == 0x20:
        size = block[position] & 0x1F
        position += 1
        if size == 0x1F:
            position = hpack._read_integer(block, position, size)[1]
        count += 1
    return count


@settings(max_examples=400)
@given(damaged())
@example([b"\x20\x20\x20"])
@example([b"\x0f\x80\x80\x80\x80\x00\x00"])
def test_what_is_damaged_is_refused_as_hpack_refuses_it(blocks):
    """The one difference: hpack takes any number of table size updates (RFC 7541 §4.2 leaves two)."""
    decoder, reference, forgetful = Decoder(), oracle.Decoder(), Decoder()
    for block in blocks:
        forget(forgetful)
        try:
            fields = decoder.decode(block).fields
        except HPACKError:
            with pytest.raises(HPACKError):
                forgetful.decode(block)
            if read_by(reference, block) is not None:
                assert updates_at_the_beginning(block) > 2
            return
        assert forgetful.decode(block).fields == fields
        assert read_by(reference, block) == fields


def read_by(reference, block):
    """What hpack makes of a block, or None where it refuses it."""
    try:
        return reference.decode(block, raw=True)
    except oracle.HPACKDecodingError:
        return None


# What breaks the rules


@pytest.mark.parametrize("column", [0, 1], ids=["plain", "Huffman"])
@pytest.mark.parametrize("message", [REQUESTS[0], REQUESTS[2], RESPONSES[0]], ids=["first", "third", "response"])
def test_a_truncated_block_is_refused_but_between_fields(message, column):
    block, fields = bytes.fromhex(message[column]), message[2]

    def decoder():
        began = Decoder()
        if message is REQUESTS[2]:
            for earlier in REQUESTS[:2]:
                began.decode(bytes.fromhex(earlier[column]))
        return began

    whole = []
    for end in range(len(block)):
        try:
            decoded = decoder().decode(block[:end]).fields
        except HPACKError as error:
            assert "ends within" in str(error) or "Huffman" in str(error)
        else:
            whole.append(decoded)
    assert whole == [fields[:count] for count in range(len(fields))]


@pytest.mark.parametrize(
    "block",
    [
        b"\xff" + b"\xff" * 5 + b"\x01",  # an index
        b"\x7f" + b"\xff" * 20,  # that of a name
        b"\x00\x7f" + b"\x80" * 5 + b"\x00",  # a name's length, though it is small
        b"\x00\x01a\xff" + b"\xff" * 1000,  # a value's length
        b"\x3f" + b"\x80" * 5 + b"\x00",  # the table's size
    ],
)
def test_long_integers_are_refused(block):
    with pytest.raises(HPACKError, match="integer of more than 5 bytes"):
        Decoder().decode(block)


def test_integers_may_have_32_bits():
    assert hpack._read_integer(hpack._integer(0xFFFFFFFF, 0x7F, 0), 1, 0x7F) == (0xFFFFFFFF, 6)
    with pytest.raises(HPACKError, match="refers to an entry"):
        Decoder().decode(hpack._integer(0xFFFFFFFF, 0x7F, 0x80))
    with pytest.raises(HPACKError, match="ends within a string"):
        Decoder().decode(b"\0\1a" + hpack._integer(0xFFFFFFFF, 0x7F, 0) + b"abc")


@pytest.mark.parametrize("block", [b"\x80", b"\xbe", b"\x7e\x01a", b"\x0f\x2f\x01a", b"\xff\x00", b"\x41\x01a\xbf"])
def test_indexes_of_no_entry_are_refused(block):
    with pytest.raises(HPACKError, match="refers to an entry that is not in the table"):
        Decoder().decode(block)


def test_an_evicted_entry_is_not_found():
    decoder = Decoder(max_table_size=70)
    decoder.decode(literal(b"a", b"1", b"\x40"))
    assert decoder.decode(literal(b"b", b"2", b"\x40") + b"\xbe\xbf").fields[2] == (b"a", b"1")
    decoder.decode(literal(b"c", b"3", b"\x40"))
    with pytest.raises(HPACKError, match="refers to an entry"):
        decoder.decode(b"\xc0")


def test_an_entry_may_take_its_name_from_the_one_it_evicts():
    decoder = Decoder(max_table_size=40)
    decoder.decode(literal(b"ab", b"1", b"\x40"))
    assert decoder.decode(b"\x7e\x0212").fields == [(b"ab", b"12")]
    assert table_of(decoder) == [(b"ab", b"12")]


def test_an_entry_larger_than_the_table_empties_it():
    decoder = Decoder(max_table_size=40)
    decoder.decode(literal(b"a", b"1", b"\x40"))
    assert decoder.decode(literal(b"a", b"1" * 40, b"\x40")).fields == [(b"a", b"1" * 40)]
    assert table_of(decoder) == []
    assert decoder._table.size == 0


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"\x18", "up to seven one bits"),  # "a", then zeros
        (b"\x1e", "up to seven one bits"),  # "a", then 110
        (b"\x1f\xff", "up to seven one bits"),  # "a", then eleven ones
        (b"\xff", "up to seven one bits"),  # eight ones
        (b"\xff" * 4, "end-of-string"),
        (b"\x1f\xff\xff\xff\xff", "end-of-string"),
    ],
)
def test_huffman_code_ends_in_ones_and_has_no_end_of_string(data, fault):
    with pytest.raises(ValueError, match=fault):
        huffman.decode(data)
    for _ in range(2):
        with pytest.raises(HPACKError, match=fault):
            Decoder().decode(b"\0\1a" + hpack._integer(len(data), 0x7F, 0x80) + data)


def test_huffman_code_of_every_byte():
    reference = oracle.huffman.HuffmanEncoder(
        oracle.huffman_constants.REQUEST_CODES, oracle.huffman_constants.REQUEST_CODES_LENGTH
    )
    every = bytes(range(256))
    for value in [
        every,
        every[::-1],
        b"",
        *(bytes((byte,)) for byte in every),
        *(bytes((byte,)) * 8 for byte in every),
    ]:
        assert huffman.encode(value) == reference.encode(value)
        assert huffman.decode(huffman.encode(value)) == value


@given(st.binary())
def test_huffman_code_there_and_back(value):
    assert huffman.decode(huffman.encode(value)) == value


@given(st.binary(max_size=40))
def test_huffman_code_is_read_as_hpack_reads_it(data):
    try:
        expected = oracle.huffman_table.decode_huffman(data)
    except oracle.HPACKDecodingError:
        with pytest.raises(ValueError, match="Huffman"):
            huffman.decode(data)
    else:
        assert huffman.decode(data) == expected


# The table's size


def test_a_block_may_begin_with_two_updates():
    decoder = Decoder()
    decoder.decode(literal(b"a", b"1", b"\x40"))
    assert decoder.decode(update(0) + update(4096) + b"\x82").fields == [(b":method", b"GET")]
    assert table_of(decoder) == []
    assert decoder.decode(update(100)).fields == []


@pytest.mark.parametrize(
    ("block", "fault"),
    [
        (b"\x82" + update(0), "after its beginning"),
        (update(0) + b"\x82" + update(0), "after its beginning"),
        (update(0) * 3, "after its beginning"),
        (update(4097), "to 4097 bytes where 4096 are allowed"),
        (update(100) + update(5000), "to 5000 bytes where 4096 are allowed"),
        (b"\x3f", "ends within a field"),
    ],
)
def test_an_update_stands_at_the_beginning_and_within_the_limit(block, fault):
    with pytest.raises(HPACKError, match=fault):
        Decoder().decode(block)


@pytest.mark.parametrize("block", [b"", b"\x82", b"\xbe", update(101), update(101) + update(50)])
def test_a_lower_limit_requires_an_update(block):
    decoder = Decoder()
    decoder.decode(literal(b"a", b"1", b"\x40"))
    for known in (b"", b"\x82", b"\xbe"):
        decoder.decode(known)
    decoder.resize(100)
    with pytest.raises(HPACKError, match="table"):
        decoder.decode(block)


def test_a_lower_limit_is_met_by_an_update():
    decoder = Decoder()
    decoder.decode(b"\x82")
    decoder.resize(100)
    assert decoder.decode(update(100) + b"\x82").fields == [(b":method", b"GET")]
    assert decoder.decode(b"\x82").fields == [(b":method", b"GET")]
    decoder.resize(100)
    decoder.resize(200)
    assert decoder.decode(b"\x82").fields == [(b":method", b"GET")]
    decoder.decode(update(200))
    with pytest.raises(HPACKError):
        decoder.decode(update(201))


@pytest.mark.parametrize("limits", [(200, 100, 4096), (100, 200, 4096)])
@pytest.mark.parametrize(
    ("block", "fine"),
    [
        (update(100) + update(300), True),
        (update(50) + update(4096), True),
        (update(50), True),
        (update(150) + update(100), False),
        (update(300), False),
        (update(4096), False),
        (b"\x82", False),
    ],
)
def test_the_smallest_of_several_limits_must_be_met(limits, block, fine):
    decoder = Decoder()
    for limit in limits:
        decoder.resize(limit)
    if fine:
        assert decoder.decode(block).fields == []
    else:
        with pytest.raises(HPACKError, match="table"):
            decoder.decode(block)


def test_a_limit_above_the_table_requires_nothing():
    decoder = Decoder(max_table_size=65536)
    assert decoder._table.capacity == 4096
    decoder.resize(5000)
    decoder.decode(b"\x82")
    decoder.decode(update(5000))
    assert decoder._table.capacity == 5000


@pytest.mark.parametrize(
    ("limits", "updates"),
    [
        ([4096], []),
        ([65536], []),
        ([65536, 8192], []),
        ([0], [0]),
        ([100, 50], [50]),
        ([100, 4096], [100, 4096]),
        ([100, 65536], [100, 4096]),
        ([300, 100, 200], [100, 200]),
    ],
)
def test_a_new_limit_is_told_at_the_beginning_of_the_next_block(limits, updates):
    encoder = Encoder()
    first = encoder.encode([(b":method", b"GET")])
    for limit in limits:
        encoder.resize(limit)
    told = b"".join(map(update, updates))
    assert encoder.encode([(b":method", b"GET")]) == told + first
    assert encoder.encode([(b":method", b"GET")]) == first
    for limit in limits[::-1]:
        encoder.resize(limit)
    encoder.resize(limits[-1])
    assert encoder.encode([]) in (b"", update(encoder._table.capacity), told)


def test_a_limit_that_went_up_and_back_is_not_told():
    encoder = Encoder()
    encoder.resize(100)
    encoder.encode([])
    encoder.resize(4096)
    encoder.resize(100)
    assert encoder.encode([]) == b""
    encoder.resize(4096)
    encoder.resize(2000)
    assert encoder.encode([]) == update(2000)


def test_what_did_not_fit_into_the_table_is_inserted_when_it_does():
    """The same bytes change the table, or do not."""
    encoder, decoder = Encoder(), Decoder()
    field = (b"x-a", b"1")
    decoder.decode(update(0))
    for _ in range(2):
        assert decoder.decode(literal(*field, b"\x40")).fields == [field]
        assert table_of(decoder) == []
    decoder.decode(update(4096))
    decoder.decode(literal(*field, b"\x40"))
    assert decoder.decode(b"\xbe").fields == [field]

    encoder.resize(0)
    encoder.encode([field])
    encoder.resize(4096)
    encoder.encode([field])
    assert encoder.encode([field]) == b"\xbe"


# How we encode


@pytest.mark.parametrize("name", [b"authorization", b"proxy-authorization", b"cookie"])
def test_credentials_are_never_indexed(name):
    encoder = Encoder()
    field = (name, b"short secret")
    for _ in range(2):
        block = encoder.encode([field])
        assert block[0] & 0xF0 == 0x10
        [decoded] = oracle.Decoder().decode(block, raw=True)
        assert decoded == field
        assert not decoded.indexable
        assert table_of(encoder) == []
    assert field[1] not in hpack._encoded


def test_a_long_cookie_is_indexed():
    encoder = Encoder()
    field = (b"cookie", b"session=0123456789ab")
    encoder.encode([field])
    assert encoder.encode([field]) == b"\xbe"
    assert field[1] not in hpack._encoded


def test_what_changes_all_the_time_stays_out_of_the_table():
    encoder = Encoder()
    for name in b":path content-length if-modified-since if-none-match etag location set-cookie age date".split():
        for value in (b"1234", b"1234", b"x" * 30):
            assert encoder.encode([(name, value)])[0] & 0xF0 == 0x00
    assert encoder.encode([(b":path", b"/")]) == b"\x84"
    assert table_of(encoder) == []


def test_an_entry_that_would_empty_the_table_stays_out():
    encoder = Encoder()
    encoder.encode([(b"x-a", b"1")])
    for _ in range(2):
        assert encoder.encode([(b"x-large", b"1" * 3100)])[0] == 0x00
    assert encoder.encode([(b"x-a", b"1")]) == b"\xbe"


def test_names_are_found_in_the_table():
    encoder = Encoder()
    encoder.encode([(b"x-a", b"1"), (b"x-b", b"1")])
    assert encoder.encode([(b"x-a", b"2")]) == b"\x7f\x00\x012"
    assert encoder.encode([(b"x-a", b"3")]) == b"\x7e\x013"


def test_huffman_code_is_used_when_it_is_shorter():
    encoder = Encoder()
    assert encoder.encode([(b"etag", b"aaaa")]) == b"\x0f\x13\x83\x18\xc6\x3f"
    assert encoder.encode([(b"etag", b"XYZ")]) == b"\x0f\x13\x03XYZ"
    assert encoder.encode([(b"etag", b"\xff\xfe")]) == b"\x0f\x13\x02\xff\xfe"
    assert encoder.encode([(b"etag", b"")]) == b"\xa2"


# Bounds


def test_a_bomb_of_references_is_not_unfolded():
    decoder = Decoder()
    bomb = literal(b"x", b"y" * 3900, b"\x40") + b"\xbe" * 100_000
    tracemalloc.start()
    try:
        with pytest.raises(FieldsTooLarge):
            decoder.decode(bomb)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
    assert decoder.decode(b"\xbe").fields == [(b"x", b"y" * 3900)]


def test_a_list_may_be_as_large_as_allowed():
    block = literal(b"a", b"1") * 2
    assert len(Decoder(max_list_size=68).decode(block).fields) == 2
    with pytest.raises(FieldsTooLarge):
        Decoder(max_list_size=67).decode(block)
    assert len(Decoder(max_fields=2).decode(block).fields) == 2
    with pytest.raises(FieldsTooLarge):
        Decoder(max_fields=1).decode(block)


def test_a_list_that_is_too_large_leaves_the_table_in_step():
    """RFC 9113 §10.5.1."""
    encoder = oracle.Encoder()
    decoder = Decoder(max_fields=3)
    many = [(b"x-%d" % number, b"v") for number in range(10)]
    for _ in range(2):
        with pytest.raises(FieldsTooLarge):
            decoder.decode(encoder.encode(many))
        assert table_of(decoder) == list(encoder.header_table.dynamic_entries)
    assert decoder.decode(encoder.encode(many[:3])).fields == many[:3]
    with pytest.raises(HPACKError) as caught:
        decoder.decode(encoder.encode(many) + b"\x80")
    assert caught.type is HPACKError


def test_a_block_that_is_known_is_interpreted_once():
    decoder = Decoder()
    decoder.decode(literal(b"a", b"1", b"\x40"))
    for block in (b"\x82", b"\xbe", literal(b"b", b"2")):
        assert decoder.decode(block).meaning is None
        decoder.decode(block).meaning = block
        assert decoder.decode(bytes(bytearray(block))).meaning == block
    decoder.decode(literal(b"c", b"3", b"\x40"))
    assert decoder.decode(b"\x82").meaning == b"\x82"
    assert decoder.decode(b"\xbe").fields == [(b"c", b"3")]


def test_what_is_owed_to_the_table_is_bounded():
    decoder = Decoder()
    blocks = [literal(b"a", b"%02d" % number, b"\x40") for number in range(20)]
    for _ in range(100):
        for block in blocks:
            decoder.decode(block)
    assert 0 < len(decoder._owed) <= 4096 // 35 + 1
    assert len(table_of(decoder)) == 4096 // 35
    assert not decoder._owed


def test_caches_are_bounded():
    decoder, encoder = Decoder(), Encoder()
    decoder.decode(literal(b"a", b"1", b"\x40"))
    for number in range(2000):
        value = b"%d" % number + b"a" * number
        block = encoder.encode([(b":path", value)])
        assert decoder.decode(block).fields == [(b":path", value)]
        assert decoder.decode(block + b"\xbe").fields == [(b":path", value), (b"a", b"1")]
    for known in (decoder._blocks, decoder._lasting):
        assert 0 < len(known) <= hpack._MAX_BLOCKS
        assert max(map(len, known)) <= hpack._MAX_BLOCK
    assert 0 < len(encoder._blocks) <= hpack._MAX_BLOCKS
    assert max(map(len, encoder._blocks.values())) <= hpack._MAX_BLOCK
    assert 0 < len(encoder._literals) <= hpack._MAX_LITERALS
    assert max(map(len, encoder._literals.values())) <= hpack._MAX_LITERAL
    for known in (hpack._decoded, hpack._encoded):
        assert 0 < len(known) <= hpack._MAX_STRINGS
        assert max(map(len, known)) <= hpack._MAX_STRING


def test_blocks_of_many_fields_are_not_kept():
    decoder, encoder = Decoder(), Encoder()
    block = encoder.encode([(b":method", b"GET")] * 100)
    decoder.decode(block)
    assert not decoder._lasting
    assert not encoder._blocks


def test_what_the_huffman_decoder_learns_is_bounded(monkeypatch):
    monkeypatch.setattr(huffman, "_MAX_LEARNT", 50)
    monkeypatch.setattr(huffman, "_learnt", 0)
    forget()
    every = bytes(range(256))
    for _ in range(3):
        assert huffman.decode(huffman.encode(every)) == every
        learnt = sum(map(len, huffman._states.values()))
        assert 0 < learnt == huffman._learnt <= 50
