"""Content codings: any split, any stacking, truncation, trailing bytes, and bombs."""

import gzip
import os
import random
import subprocess
import sys
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hither._decoding as decoding
from hither._decoding import MAX_LAYERS, make_decoder, supported_encodings
from hither._errors import DecodingError

brotli = pytest.importorskip("brotli")
zstd = pytest.importorskip("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")


def raw_deflate(data):
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


ENCODERS = {
    "gzip": gzip.compress,
    "x-gzip": lambda data: gzip.compress(data[: len(data) // 2]) + gzip.compress(data[len(data) // 2 :]),
    "deflate": zlib.compress,
    "Deflate": raw_deflate,
    "br": brotli.compress,
    "zstd": lambda data: zstd.compress(data[: len(data) // 2]) + zstd.compress(data[len(data) // 2 :]),
}
CODINGS = sorted(ENCODERS)


def encode(codings, data):
    for coding in codings:
        data = ENCODERS[coding](data)
    return data


def drain(decoder, max_length=65536):
    out = bytearray()
    while piece := decoder.read(max_length):
        assert len(piece) <= max_length
        out += piece
    assert decoder.needs_input
    return bytes(out)


def decode(coding, pieces, max_length=65536):
    decoder = make_decoder(coding)
    out = b""
    for piece in pieces:
        decoder.feed(piece)
        out += drain(decoder, max_length)
    decoder.finish()
    return out


def split(data, cuts):
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in zip(edges, edges[1:], strict=False)]


@settings(max_examples=150, deadline=None)
@given(
    codings=st.lists(st.sampled_from(CODINGS), min_size=1, max_size=3),
    unit=st.binary(max_size=300),
    times=st.integers(1, 200),
    cuts=st.lists(st.integers(0, 10_000), max_size=8),
    max_length=st.integers(1, 5000),
)
def test_any_split_of_any_stack_decodes_alike(codings, unit, times, cuts, max_length):
    body = unit * times
    pieces = split(encode(codings, body), cuts)
    assert decode(", ".join(codings), pieces, max(max_length, len(body) // 500)) == body


@pytest.mark.parametrize("coding", CODINGS)
def test_one_byte_at_a_time(coding):
    body = random.Random(1).randbytes(2000) + bytes(2000)
    encoded = encode([coding], body)
    assert decode(coding, [encoded[i : i + 1] for i in range(len(encoded))], 100) == body


@pytest.mark.parametrize("coding", CODINGS)
def test_input_fed_before_the_last_was_read_is_not_lost(coding):
    body = random.Random(2).randbytes(100_000)
    encoded = encode([coding], body)
    decoder = make_decoder(coding)
    decoder.feed(encoded[:50_000])
    start = decoder.read(10)
    decoder.feed(encoded[50_000:])
    assert start + drain(decoder) == body
    decoder.finish()


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("keep", [1, 5, -1])
def test_truncated_content_is_an_error_at_the_end(coding, keep):
    encoded = ENCODERS[coding](os.urandom(1000))
    with pytest.raises(DecodingError, match="truncated"):
        decode(coding, [encoded[:keep]])


@pytest.mark.parametrize("coding", [*CODINGS, "gzip, br, zstd"])
def test_an_empty_body_is_no_error(coding):
    assert decode(coding, []) == b""
    assert decode(coding, [b"", b""]) == b""


@pytest.mark.parametrize("coding", CODINGS)
def test_content_that_is_not_what_the_header_says_is_an_error(coding):
    with pytest.raises(DecodingError):
        decode(coding, [b"\xff<html>plain text</html>"])


@pytest.mark.parametrize("junk", [b"\0" * 600, b"junk", b"\x1f", b"\0\0\x1fjunk", b"\x1f\0\x8b"])
@pytest.mark.parametrize("apart", [True, False])
def test_what_follows_a_gzip_member_is_ignored(junk, apart):
    encoded = gzip.compress(b"hello")
    assert decode("gzip", [encoded, junk] if apart else [encoded + junk]) == b"hello"


def test_what_follows_a_deflate_stream_is_ignored():
    for encoder in (zlib.compress, raw_deflate):
        assert decode("deflate", [encoder(b"hello") + b"junk", b"more"]) == b"hello"


def test_gzip_members_after_zero_padding_are_read():
    assert decode("gzip", [gzip.compress(b"one") + bytes(10), b"\0" + gzip.compress(b"two")]) == b"onetwo"


def test_a_truncated_second_member_is_an_error():
    with pytest.raises(DecodingError, match="truncated"):
        decode("gzip", [gzip.compress(b"one"), gzip.compress(b"two")[:-3]])


def test_skippable_zstd_frames_give_nothing():
    skippable = b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"abcd"
    assert decode("zstd", [skippable + zstd.compress(b"hi") + skippable]) == b"hi"


def test_a_zstd_window_above_8_mb_is_refused():
    stream = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 24})
    encoded = stream.compress(bytes(2**25)) + stream.flush()
    with pytest.raises(DecodingError):
        decode("zstd", [encoded])


@pytest.mark.parametrize("coding", CODINGS)
def test_a_bomb_costs_no_more_memory_than_its_pieces(coding):
    size = 100_000_000
    bomb = encode([coding], bytes(size))
    decoder = make_decoder(coding)
    decoder.feed(bomb)
    decoder.read(1)
    tracemalloc.start()
    try:
        total = 1
        while piece := decoder.read(65536):
            assert len(piece) <= 65536
            total += len(piece)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == size
    assert peak < 1_000_000
    decoder.finish()


def test_a_bomb_in_a_bomb_stays_bounded():
    body = bytes(20_000_000)
    decoder = make_decoder("gzip, gzip, br")
    decoder.feed(encode(["gzip", "gzip", "br"], body))
    tracemalloc.start()
    try:
        total = sum(len(piece) for piece in iter(lambda: decoder.read(65536), b""))
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert total == len(body)


@pytest.mark.parametrize("silent", [bytes(40_000_000), gzip.compress(b"") * 1_000_000])
def test_a_layer_that_inflates_to_nothing_but_padding_is_stopped(silent):
    decoder = make_decoder("gzip, br")
    stream = brotli.Compressor(quality=1)
    decoder.feed(stream.process(gzip.compress(b"x") + silent) + stream.finish())
    assert decoder.read(100) == b"x"
    with pytest.raises(DecodingError, match="no content"):
        decoder.read(100)


def test_no_more_than_five_layers():
    assert decode(", ".join(["gzip"] * MAX_LAYERS), [encode(["gzip"] * MAX_LAYERS, b"x")]) == b"x"
    with pytest.raises(DecodingError):
        make_decoder(", ".join(["gzip"] * (MAX_LAYERS + 1)))


def test_unknown_codings_are_left_in_place():
    assert make_decoder("") is None
    assert make_decoder("identity, ,IDENTITY") is None
    assert make_decoder("compress") is None
    assert make_decoder("gzip, aws-chunked") is None
    assert decode("x-own, gzip", [gzip.compress(b"own form")]) == b"own form"


def test_read_needs_room_for_a_byte():
    with pytest.raises(ValueError, match="max_length"):
        make_decoder("gzip").read(0)


def test_brotlicffi_and_old_brotli_do_as_well(monkeypatch):
    cffi = pytest.importorskip("brotlicffi")
    body = random.Random(3).randbytes(50_000) + bytes(1_000_000)
    encoded = brotli.compress(body)
    monkeypatch.setattr(decoding, "_brotli_module", lambda: cffi)
    assert decode("br", [encoded], 1000) == body

    class Old:
        error = brotli.error

        class Decompressor:
            def __init__(self):
                stream = brotli.Decompressor()
                self.process = lambda data: stream.process(data)
                self.is_finished = stream.is_finished

    monkeypatch.setattr(decoding, "_brotli_module", lambda: Old)
    assert decode("br", [encoded[:1000], encoded[1000:]], 1000) == body


def test_supported_encodings_names_what_is_installed_without_importing_it():
    assert supported_encodings() == b"gzip, deflate, br, zstd"
    code = (
        "import sys, hither._decoding as d; d.supported_encodings();"
        "print(sorted({'brotli', '_brotli', 'backports.zstd', 'compression.zstd'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_its_module_a_coding_is_unknown(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(decoding, "import_module", missing)
    assert make_decoder("br") is None
    assert make_decoder("zstd") is None


def test_a_flood_of_empty_zstd_frames_is_stopped():
    assert decode("zstd", [zstd.compress(b"") * 900 + zstd.compress(b"x")]) == b"x"
    assert decode("zstd", [zstd.compress(b"x") * 3000]) == b"x" * 3000
    with pytest.raises(DecodingError, match="in a row"):
        decode("zstd", [zstd.compress(b"") * 5000])
