"""Request bodies: what each argument becomes, how it streams, and what is refused."""

import asyncio
import email
import gzip
import io
import os
import pathlib
import re
import tempfile
import tracemalloc

import pytest

from hither._body import PIECE, Body, encode_body, make_body
from hither._errors import LocalProtocolError, StreamConsumed


def read(body):
    if isinstance(body, bytes):
        return body
    if not body.is_async:
        return b"".join(body)

    async def read_all():
        return b"".join([piece async for piece in body])

    return asyncio.run(read_all())


def length(n):
    return (b"Content-Length", b"%d" % n)


CHUNKED = (b"Transfer-Encoding", b"chunked")
FORM = (b"Content-Type", b"application/x-www-form-urlencoded")
JSON = (b"Content-Type", b"application/json")


async def agen(*pieces):
    for piece in pieces:
        yield piece


@pytest.mark.parametrize(
    ("arguments", "body", "fields"),
    [
        ({}, None, []),
        ({"data": {}, "files": []}, None, []),
        ({"content": b""}, b"", []),
        ({"content": b"abc"}, b"abc", [length(3)]),
        ({"content": "ä"}, b"\xc3\xa4", [length(2)]),
        ({"content": bytearray(b"ab")}, b"ab", [length(2)]),
        ({"content": memoryview(b"ab")}, b"ab", [length(2)]),
        ({"data": "raw"}, b"raw", [length(3)]),
        ({"data": {"a": "1", "b": [2, 3.5]}}, b"a=1&b=2&b=3.5", [length(13), FORM]),
        ({"data": [("a", "x y"), ("a", True)]}, b"a=x+y&a=true", [length(12), FORM]),
        ({"data": {"a": None, b"b": b"\xff&"}}, b"a=&b=%FF%26", [length(11), FORM]),
        ({"json": {"ä": [1.5, None]}}, '{"ä":[1.5,null]}'.encode(), [length(17), JSON]),
        ({"json": "\ud800"}, b'"\\ud800"', [length(8), JSON]),
        ({"json": 0}, b"0", [length(1), JSON]),
        ({"json": [], "json_dumps": lambda v: "own"}, b"own", [length(3), JSON]),
    ],
)
def test_what_is_in_memory_becomes_bytes(arguments, body, fields):
    assert encode_body(**arguments) == (body, fields)


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ({"content": 123}, "not int"),
        ({"content": {"a": 1}}, "data="),
        ({"content": pathlib.Path("x")}, "open"),
        ({"content": dict}, "class dict"),
        ({"content": io.StringIO("x")}, "binary"),
        ({"content": b"", "json": 1}, "content= or json="),
        ({"data": {"a": 1}, "json": 1}, "data= or json="),
        ({"data": {"a": {"b": 1}}}, "json="),
        ({"data": {"a": [["b"]]}}, "json="),
        ({"data": {"a": io.BytesIO()}}, "files="),
        ({"data": [("a", "b"), b"c"]}, "not both"),
        ({"data": 5}, "data= takes"),
        ({"files": [b"x"]}, "mapping"),
        ({"files": b"x"}, "mapping"),
        ({"files": {"f": 1}}, "'f'"),
        ({"files": {"f": ("n",)}}, "tuple of 1"),
        ({"files": {"f": io.StringIO("x")}}, "binary"),
        ({"files": {"f": b"x"}, "data": b"raw"}, "with files="),
        ({"json": object()}, "object"),
        ({"json": 1, "json_dumps": lambda v: v}, "json_dumps"),
    ],
)
def test_wrong_kinds_are_refused_and_told_what_to_do(arguments, hint):
    with pytest.raises(TypeError, match=re.escape(hint)):
        encode_body(**arguments)


def test_json_has_no_nan():
    with pytest.raises(ValueError, match="JSON"):
        encode_body(json=float("nan"))


def test_a_text_file_behind_a_wrapper_is_refused():
    with tempfile.NamedTemporaryFile("w+") as file, pytest.raises(TypeError, match="binary"):
        encode_body(content=file)


def test_a_reader_that_gives_str_is_refused_when_read():
    class Reader:
        def read(self, size):
            return "x"

    with pytest.raises(TypeError, match="binary"):
        read(encode_body(content=Reader())[0])


def test_a_file_is_sent_from_where_it_stands_in_bounded_pieces_and_again(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"skip" + bytes(600_000))
    with path.open("rb") as file:
        file.seek(4)
        body, fields = encode_body(content=file)
        assert fields == [length(600_000)]
        pieces = list(body)
        assert max(map(len, pieces)) <= PIECE
        assert b"".join(pieces) == bytes(600_000)
        body.rewind()
        assert read(body) == bytes(600_000)


def test_a_file_that_grows_is_sent_up_to_its_declared_length():
    file = io.BytesIO(b"abc")
    body, _ = encode_body(content=file)
    file.seek(0, 2)
    file.write(b"def")
    assert read(body) == b"abc"


def test_a_closed_file_cannot_be_sent_again():
    file = io.BytesIO(b"abc")
    body = make_body(file)
    read(body)
    file.close()
    with pytest.raises(StreamConsumed):
        body.rewind()


def test_a_pipe_is_chunked_and_sent_once():
    reader, writer = os.pipe()
    os.write(writer, b"piped")
    os.close(writer)
    with open(reader, "rb") as file:
        body, fields = encode_body(content=file)
        assert fields == [CHUNKED]
        assert read(body) == b"piped"
        with pytest.raises(StreamConsumed):
            body.rewind()


def test_a_decompressing_file_has_the_length_of_what_it_gives():
    file = gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(b"x" * 1000)))
    body, fields = encode_body(content=file)
    assert fields == [length(1000)]
    assert read(body) == b"x" * 1000


def test_an_iterator_is_chunked_lazy_and_sent_once():
    seen = []

    def pieces():
        for piece in (b"a", b"", "ä", bytearray(b"c")):
            seen.append(piece)
            yield piece

    body, fields = encode_body(content=pieces())
    assert fields == [CHUNKED]
    assert not seen
    assert not body.replayable
    body.rewind()  # nothing was sent yet
    assert list(body) == [b"a", b"\xc3\xa4", b"c"]
    assert body.next_chunk() == b""
    with pytest.raises(StreamConsumed):
        body.rewind()


def test_a_list_is_replayed_from_the_start():
    body, fields = encode_body(content=[b"a", b"b"])
    assert fields == [CHUNKED]
    assert body.next_chunk() == b"a"
    body.rewind()
    assert read(body) == b"ab"
    body.rewind()
    assert read(body) == b"ab"


def test_an_iterable_that_hides_a_one_shot_source_is_never_resent_empty():
    class Hidden:
        def __init__(self):
            self.source = iter([b"a", b"b"])

        def __iter__(self):
            yield from self.source

    body = make_body(Hidden())
    assert read(body) == b"ab"
    body.rewind()
    with pytest.raises(StreamConsumed):
        read(body)


def test_an_iterable_of_anything_else_is_refused():
    with pytest.raises(TypeError, match="int"):
        read(make_body([1]))


def test_async_iterables_are_for_the_async_client():
    body, fields = encode_body(content=agen(b"a", b"", b"b"))
    assert fields == [CHUNKED]
    with pytest.raises(TypeError, match="AsyncClient"):
        body.next_chunk()
    assert read(body) == b"ab"
    with pytest.raises(StreamConsumed):
        body.rewind()


def test_async_iterables_that_can_be_iterated_anew_are_replayed():
    class Again:
        def __aiter__(self):
            return agen(b"a", b"b")

    body = make_body(Again())
    assert read(body) == b"ab"
    body.rewind()
    assert read(body) == b"ab"


def test_async_files_are_read_in_pieces_not_lines():
    class File:
        def __init__(self):
            self.left = [b"a\nb", b"\nc"]

        async def read(self, size):
            return self.left.pop(0) if self.left else b""

        def __aiter__(self):
            raise AssertionError

    assert read(make_body(File())) == b"a\nb\nc"


# multipart


def parts_of(body, fields):
    content_type = dict(fields)[b"Content-Type"]
    message = email.message_from_bytes(b"Content-Type: " + content_type + b"\r\n\r\n" + read(body))
    return [
        (part["Content-Disposition"], part["Content-Type"], part.get_payload(decode=True))
        for part in message.get_payload()
    ]


def test_multipart_puts_fields_first_and_guesses_names_and_types(tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(b"PNG")
    with path.open("rb") as file:
        body, fields = encode_body(data={"a": [1, None], "b": b"x"}, files=[("f", file), ("g", b"raw")])
        assert int(dict(fields)[b"Content-Length"]) == len(read(body))
        body.rewind()
        assert parts_of(body, fields) == [
            ('form-data; name="a"', None, b"1"),
            ('form-data; name="a"', None, b""),
            ('form-data; name="b"', None, b"x"),
            ('form-data; name="f"; filename="picture.png"', "image/png", b"PNG"),
            ('form-data; name="g"; filename="upload"', "application/octet-stream", b"raw"),
        ]


def test_multipart_takes_every_form_of_a_file():
    body, fields = encode_body(
        files={
            "two": ("a.txt", "text"),
            "three": ("b", io.BytesIO(b"3"), "x/y"),
            "four": ("c", b"4", None, {"X-Own": "v", "Content-Type": "own/type"}),
            "plain": (None, "value"),
        }
    )
    assert [part[:2] for part in parts_of(body, fields)] == [
        ('form-data; name="two"; filename="a.txt"', "text/plain"),
        ('form-data; name="three"; filename="b"', "x/y"),
        ('form-data; name="four"; filename="c"', "own/type"),
        ('form-data; name="plain"', None),
    ]
    body.rewind()
    assert b"\r\nX-Own: v\r\n" in read(body)


def test_multipart_is_exact_on_the_wire():
    body, fields = encode_body(
        data={"a": "1"}, files={"f": ("n", b"2", "t/t")}, content_type="multipart/form-data; boundary=B"
    )
    expected = (
        b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
        b'--B\r\nContent-Disposition: form-data; name="f"; filename="n"\r\nContent-Type: t/t\r\n\r\n2\r\n'
        b"--B--\r\n"
    )
    assert (body, dict(fields)[b"Content-Type"]) == (expected, b"multipart/form-data; boundary=B")


def test_names_cannot_break_out_of_their_header():
    body, _ = encode_body(files={'a"\r\nX: y': ('b"\r\n\r\nö', b"")})
    assert b'name="a%22%0D%0AX: y"; filename="b%22%0D%0A%0D%0A\xc3\xb6"\r\n' in read(body)
    for files in (
        {"a\0": b""},
        {"a": ("b\0", b"")},
        {"a": ("b", b"", "t/t\r\nX: y")},
        {"a": ("b", b"", None, {"X": "a\nb"})},
        {"a": ("b", b"", None, {"X\r\nY": "z"})},
    ):
        with pytest.raises(LocalProtocolError):
            encode_body(files=files)


def test_the_caller_s_boundary_is_used_when_it_is_a_boundary():
    for given in ("B-1", '"a b"'):
        body, fields = encode_body(files={"f": b""}, content_type=f"multipart/form-data; boundary={given}")
        assert read(body).startswith(b"--" + given.strip('"').encode() + b"\r\n")
        assert dict(fields)[b"Content-Type"] == f"multipart/form-data; boundary={given}".encode()
    for given in ("", "x" * 71, '"ends "', "ü", '"a;b"'):
        with pytest.raises(LocalProtocolError):
            encode_body(files={"f": b""}, content_type=f"multipart/form-data; boundary={given}")


def test_a_content_type_without_boundary_is_completed():
    _, fields = encode_body(files={"f": b""}, content_type="multipart/mixed; x=y")
    assert re.fullmatch(rb"multipart/mixed; x=y; boundary=[0-9a-f]{32}", dict(fields)[b"Content-Type"])


def test_multipart_of_unknown_length_is_chunked_and_sent_once():
    body, fields = encode_body(files={"f": ("n", iter([b"1", b"2"]))})
    assert CHUNKED in fields
    assert b"\r\n\r\n12\r\n--" in read(body)
    with pytest.raises(StreamConsumed):
        body.rewind()


def test_multipart_with_an_async_part_is_async():
    body, _ = encode_body(files={"f": ("n", agen(b"1", b"2"))})
    assert body.is_async
    assert b"\r\n\r\n12\r\n--" in read(body)


def test_the_same_file_twice_is_sent_twice():
    file = io.BytesIO(b"same")
    body, fields = encode_body(files=[("f", file), ("g", file)])
    data = read(body)
    assert data.count(b"\r\nsame\r\n") == 2
    assert len(data) == int(dict(fields)[b"Content-Length"])


def test_a_large_file_in_a_form_is_streamed(tmp_path):
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(50_000_000)
    with path.open("rb") as file:
        tracemalloc.start()
        try:
            body, fields = encode_body(files={"f": file})
            total = sum(map(len, body))
            assert tracemalloc.get_traced_memory()[1] < 2_000_000
        finally:
            tracemalloc.stop()
    assert total == body.length == int(dict(fields)[b"Content-Length"])


def test_a_body_is_content_as_it_is():
    body = make_body([b"a"])
    assert isinstance(body, Body)
    assert encode_body(content=body) == (body, [CHUNKED])
