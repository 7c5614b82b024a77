"""Charsets, byte order marks, and lines at every chunk boundary."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hither._text import (
    LineDecoder,
    TextDecoder,
    charset_from_content_type,
    decode_text,
    detect_bom,
    is_known_charset,
    media_type_parameter,
)


@pytest.mark.parametrize(
    ("value", "charset"),
    [
        (None, None),
        ("", None),
        ("text/html", None),
        ("text/html;charset=", None),
        ("text/html; charset=UTF-8", "utf-8"),
        ('text/html; charset="utf-8"; x=y', "utf-8"),
        ("text/html; charset='latin-1'", "latin-1"),
        ("text/html ;x=1 ; Charset = koi8-r ", "koi8-r"),
        ('text/html; title="a; charset=ascii"; charset=utf-8', "utf-8"),
        ('text/html; title="\\"; charset=ascii"; charset=utf-8', "utf-8"),
        ("text/html; xcharset=ascii", None),
    ],
)
def test_charset_of_content_type(value, charset):
    assert charset_from_content_type(value) == charset


def test_quoted_parameters_lose_their_backslashes():
    assert media_type_parameter(r'a/b; q="x\"y\\z"', "q") == 'x"y\\z'


@pytest.mark.parametrize("name", ["utf-8", "UTF8", "latin-1", "windows-1252", "shift_jis", "gb18030", "utf-16"])
def test_known_charsets(name):
    assert is_known_charset(name)


@pytest.mark.parametrize(
    "name",
    ["", "nonsense", "a\0b", "ü", "zlib", "base64", "hex", "rot13", "bz2", "idna", "undefined", "x" * 999],
)
def test_what_is_no_charset(name):
    assert not is_known_charset(name)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("text", ["", "aß€😀", "\ufeffx"])
def test_a_mark_is_found_and_left_out_of_the_text(encoding, text):
    data = text.encode(encoding)
    found = detect_bom(data)
    assert found == encoding.removesuffix("-sig")
    assert decode_text(data, found) == text
    decoder = TextDecoder(found)
    assert "".join(decoder.decode(data[i : i + 1]) for i in range(len(data))) + decoder.flush() == text


def test_no_mark_is_no_encoding():
    assert detect_bom(b"") is None
    assert detect_bom(b"\xef\xbb") is None


@given(
    data=st.binary(max_size=60) | st.text(max_size=30).map(str.encode),
    encoding=st.sampled_from(["utf-8", "utf-16", "utf-16-le", "utf-32", "latin-1", "shift_jis", "gb18030"]),
    size=st.integers(1, 7),
)
def test_text_in_pieces_equals_text_as_a_whole(data, encoding, size):
    decoder = TextDecoder(encoding)
    pieces = [decoder.decode(data[i : i + size]) for i in range(0, len(data), size)]
    assert "".join(pieces) + decoder.flush() == decode_text(data, encoding)


def test_an_unknown_encoding_is_said_at_once():
    with pytest.raises(LookupError):
        TextDecoder("no-such-charset")


@given(pieces=st.lists(st.text(alphabet="ab\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029", max_size=6), max_size=12))
def test_lines_in_pieces_equal_splitlines(pieces):
    decoder = LineDecoder()
    lines = [line for piece in pieces for line in decoder.feed(piece)]
    assert lines + decoder.flush() == "".join(pieces).splitlines()
    assert decoder.flush() == []


def test_a_line_that_ends_in_cr_does_not_wait_for_the_next_piece():
    decoder = LineDecoder()
    assert decoder.feed("data: 1\r") == ["data: 1"]
    assert decoder.feed("\n") == []
    assert decoder.feed("\n") == [""]


def test_a_long_line_in_small_pieces_takes_linear_time():
    decoder = LineDecoder()
    start = time.process_time()
    for _ in range(200_000):
        decoder.feed("x" * 20)
    assert decoder.feed("\n") == ["x" * 4_000_000]
    assert time.process_time() - start < 5


def test_utf_16_without_a_mark_is_little_endian():
    assert decode_text("hi".encode("utf-16-le"), "UTF-16") == "hi"
    assert decode_text("hi".encode("utf-16-be"), "utf-16-be") == "hi"
