import copy
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hither._errors import LocalProtocolError
from hither._headers import Headers, check_fields, encode_fields

NAMES = st.sampled_from(["A", "a", "B", "b", "X-Y"])


@pytest.mark.parametrize(
    "source",
    [
        {"Accept": "a", "X-B": "b"},
        {b"Accept": b"a", b"X-B": b"b"},
        [("Accept", "a"), (b"X-B", "b")],
        iter([("Accept", "a"), ("X-B", "b")]),
        Headers([("Accept", "a"), ("X-B", "b")]),
    ],
)
def test_made_from_every_kind_of_source_keeping_case_and_order(source):
    assert Headers(source).raw == [(b"Accept", b"a"), (b"X-B", b"b")]


def test_a_list_as_value_makes_several_fields():
    assert Headers({"A": ["1", b"2"]}).raw == [(b"A", b"1"), (b"A", b"2")]


@pytest.mark.parametrize("value", [1, 1.5, True])
def test_numbers_as_values_are_refused_with_advice(value):
    with pytest.raises(TypeError, match=r"write str\("):
        Headers({"X": value})


@pytest.mark.parametrize("source", [5, "A: b", ["ab"], [("a", "b", "c")], {1: "x"}, {"a": None}, {"a": [1]}])
def test_other_kinds_raise_type_error(source):
    with pytest.raises(TypeError):
        Headers(source)


def test_from_raw_neither_copies_nor_looks():
    raw = [(b"A", b"1")]
    headers = Headers.from_raw(raw)
    assert headers._raw is raw
    assert headers._index is None
    assert headers.raw is not raw


def test_each_value_with_and_without_an_index():
    fields = [("Set-Cookie", "a=1"), ("X", "\u00fc"), ("set-cookie", b"b=\xff"), ("X-Long-" + "n" * 80, "1")]
    for name, values in (("SET-Cookie", ["a=1", "b=\u00ff"]), ("x", ["\u00fc"]), ("no", []), ("\u00fc", [])):
        headers = Headers(fields)
        assert headers.get_list(name) == values
        assert ("x" in headers, "x-long-" + "N" * 80 in headers) == (True, True)
        assert headers.get_list(name) == values


def test_look_up_ignores_case_and_joins():
    headers = Headers([("Vary", "a"), ("X", "1"), ("vary", "b")])
    assert headers["VARY"] == headers.get("vary") == "a, b"
    assert headers.get("no") is None
    assert headers.get("no", "d") == "d"
    assert headers.get_list("Vary") == ["a", "b"]
    assert headers.get_list("no") == []
    assert "vArY" in headers
    assert 1 not in headers
    with pytest.raises(KeyError):
        headers["no"]


def test_views_have_each_name_once_and_multi_items_every_field():
    headers = Headers([("A", "1"), ("B", "2"), ("a", "3")])
    assert list(headers) == list(headers.keys()) == ["a", "b"]
    assert len(headers) == 2
    assert list(headers.items()) == [("a", "1, 3"), ("b", "2")]
    assert list(headers.values()) == ["1, 3", "2"]
    assert headers.multi_items() == [("a", "1"), ("b", "2"), ("a", "3")]
    assert headers
    assert not Headers()


def test_lists_are_split_outside_quoted_strings():
    headers = Headers([("L", 'a, "b, \\"c", ,d'), ("l", "e")])
    assert headers.get_list("l", split_commas=True) == ["a", '"b, \\"c"', "d", "e"]
    assert Headers({"L": 'a, "b, c'}).get_list("L", split_commas=True) == ["a", '"b, c']


def test_values_decode_as_utf8_then_latin1():
    headers = Headers([(b"A", "ü".encode()), (b"B", b"\xfc")])
    assert (headers["a"], headers["b"]) == ("ü", "ü")
    assert Headers({"A": "ü"}).raw == [(b"A", "ü".encode())]


def test_setting_replaces_all_of_the_name_at_its_first_place():
    headers = Headers([("A", "1"), ("B", "2"), ("a", "3")])
    headers["a"] = "4"
    headers["C"] = "5"
    assert headers.raw == [(b"a", b"4"), (b"B", b"2"), (b"C", b"5")]
    with pytest.raises(TypeError):
        headers["a"] = 5


def test_add_delete_pop_setdefault_clear():
    headers = Headers({"A": "1"})
    headers.add("a", "2")
    assert headers["a"] == "1, 2"
    assert headers.setdefault("A", "x") == "1, 2"
    assert headers.setdefault("B", "x") == "x"
    assert headers.pop("a") == "1, 2"
    assert headers.pop("a", None) is None
    del headers["b"]
    with pytest.raises(KeyError):
        del headers["b"]
    assert headers.raw == []
    headers.add("c", "1")
    headers.clear()
    assert not headers
    assert "c" not in headers


def test_update_replaces_the_names_given_and_none_removes():
    headers = Headers([("A", "1"), ("B", "2"), ("C", "3")])
    headers.update([("b", "x"), ("B", "y"), ("D", "z")], c=None)
    assert headers.raw == [(b"A", b"1"), (b"b", b"x"), (b"b", b"y"), (b"D", b"z")]
    headers.update(headers)
    headers.update(None)
    assert len(headers.raw) == 4


def test_copies_change_by_themselves():
    headers = Headers({"A": "1"})
    for other in (headers.copy(), copy.copy(headers), copy.deepcopy(headers), Headers(headers)):
        other["a"] = "2"
    assert headers["a"] == "1"
    assert pickle.loads(pickle.dumps(headers)) == headers


def test_equality_ignores_case_and_order_of_names_but_not_of_values():
    assert Headers([("A", "1"), ("B", "2")]) == Headers([("b", "2"), ("a", "1")])
    assert Headers({"A": "1"}) == {"a": "1"} == Headers([("A", "1")])
    assert Headers([("A", "1")]) == [("a", "1")]
    assert Headers([("A", "1"), ("A", "2")]) != Headers([("A", "2"), ("A", "1")])
    assert Headers() != 5
    assert Headers({"A": "1"}) != {"a": 1}


@pytest.mark.parametrize("name", ["Authorization", "proxy-authorization", "Cookie", "Set-Cookie"])
def test_credentials_do_not_show(name):
    assert "hush" not in repr(Headers({name: "hush"}))
    assert repr(Headers([(name, "hush"), (name, "hush")])).count("[secure]") == 2


def test_repr_shows_the_rest():
    assert repr(Headers({"A": "1"})) == "Headers({'a': '1'})"
    assert repr(Headers([("A", "1"), ("a", "2")])) == "Headers([('a', '1'), ('a', '2')])"


def test_fields_are_written_as_given_without_outer_whitespace():
    assert encode_fields([(b"X-a", b" \t1: 2 "), (b"B", b"")]) == b"X-a: 1: 2\r\nB: \r\n"
    assert encode_fields([]) == b""


@pytest.mark.parametrize("value", [b"a\r\nEvil: b", b"a\rb", b"a\nb", b"a\0b", b"\r\n", b"a\r\n b", b"\n", b"a\n\r"])
def test_values_that_could_inject_are_refused_and_named(value):
    for check in (encode_fields, check_fields):
        with pytest.raises(LocalProtocolError, match="'X-Bad'"):
            check([(b"Good", b"1"), (b"X-Bad", value), (b"Good", b"2")])


@pytest.mark.parametrize("name", [b"", b"A ", b" A", b"A:", b"A: b", b"A\r\nB", b"A\0", b"\xc3\xbc", b"A\n", b"(x)"])
def test_names_that_are_no_token_are_refused(name):
    for check in (encode_fields, check_fields):
        with pytest.raises(LocalProtocolError, match="header name"):
            check([(name, b"x")])


@settings(deadline=None)
@given(st.lists(st.tuples(st.binary(max_size=8), st.binary(max_size=8)), max_size=5))
def test_what_is_written_has_exactly_the_fields_given(fields):
    try:
        block = encode_fields(fields)
    except LocalProtocolError:
        return
    lines = block.split(b"\r\n")
    assert lines.pop() == b""
    assert [tuple(line.split(b": ", 1)) for line in lines] == [(n, v.strip(b" \t")) for n, v in fields]


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["set", "add", "del", "update", "look"]), NAMES, st.sampled_from("12"))))
def test_the_index_always_agrees_with_the_fields(steps):
    headers = Headers()
    for step, name, value in steps:
        if step == "set":
            headers[name] = value
        elif step == "add":
            headers.add(name, value)
        elif step == "del":
            headers.pop(name, None)
        elif step == "update":
            headers.update([(name, value), (name, value)])
        else:
            headers.get(name)
        fresh = Headers.from_raw(headers.raw)
        assert headers._lookup() == fresh._lookup() if headers._index is not None else True
        assert headers == fresh
