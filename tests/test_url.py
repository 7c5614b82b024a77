import copy
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hither._errors import InvalidURL
from hither._query import QueryParams, encode_params
from hither._url import MAX_URL_LENGTH, URL, merge_base, merge_params, parse_url

URLISH = st.text(st.sampled_from("htps:/?#@[]%.&=+ \\aZ19é\u2028~|\n-_") | st.characters(), max_size=40)
HTTPISH = st.builds("http{}://{}".format, st.sampled_from(["", "s", "S"]), URLISH)


# What is kept and what is changed


@pytest.mark.parametrize(
    ("given_url", "kept"),
    [
        ("http://h", "http://h"),
        ("HTTP://EXAMPLE.Org/A%2fb/../C?Q=%aa#F", "http://example.org/A%2fb/../C?Q=%aa#F"),
        ('http://h/a b\u00e9|^`{}<>"\\', "http://h/a%20b%C3%A9%7C%5E%60%7B%7D%3C%3E%22%5C"),
        ("http://h/100%/%zz/%4", "http://h/100%25/%25zz/%254"),
        ("http://h/[x]?a[]=1&b=!$'()*+,;:@/?", "http://h/[x]?a[]=1&b=!$'()*+,;:@/?"),
        ("  http://h/x ", "http://h/x"),
        ("http://h:80/", "http://h:80/"),
        ("http://h:/?#", "http://h:/?#"),
        ("http://b\u00fccher.example/", "http://xn--bcher-kva.example/"),
        ("http://b%C3%BCcher.example/", "http://xn--bcher-kva.example/"),
        ("http://u@x:p@ss@h/", "http://u%40x:p%40ss@h/"),
        ("http://[FE80::1%25Eth0]:8080/", "http://[fe80::1%25Eth0]:8080/"),
        ("http://[fe80::1%eth0]/", "http://[fe80::1%25eth0]/"),
        ("/a?b", "/a?b"),
        ("mailto:A@b", "mailto:A@b"),
    ],
)
def test_text_is_kept_byte_for_byte_unless_illegal(given_url, kept):
    url = URL(given_url)
    assert url == kept
    assert hash(url) == hash(kept)
    assert type(str(url)) is str


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("http://h", b"/"),
        ("http://h?q", b"/?q"),
        ("http://h/?", b"/?"),
        ("http://h/a?b?c#d?e", b"/a?b?c"),
        ("http://h/a#b", b"/a"),
        ("http://h#b", b"/"),
    ],
)
def test_target_is_path_and_query_and_never_empty(text, target):
    assert URL(text).target == URL(text).raw_path == target


@pytest.mark.parametrize(
    ("text", "host_header", "key", "port", "origin"),
    [
        ("http://h/", b"h", ("http", "h", 80), None, "http://h"),
        ("https://h:443", b"h", ("https", "h", 443), None, "https://h"),
        ("https://h:80", b"h:80", ("https", "h", 80), 80, "https://h:80"),
        ("https://h:0080", b"h:80", ("https", "h", 80), 80, "https://h:80"),
        ("http://H:65535/", b"h:65535", ("http", "h", 65535), 65535, "http://h:65535"),
        ("ws://h", b"h", ("ws", "h", 80), None, "ws://h"),
        ("http://[::1]:81", b"[::1]:81", ("http", "::1", 81), 81, "http://[::1]:81"),
        ("http://[fe80::1%25en0]", b"[fe80::1]", ("http", "fe80::1%en0", 80), None, "http://[fe80::1%25en0]"),
        (
            "http://127.0.0.1:8000/",
            b"127.0.0.1:8000",
            ("http", "127.0.0.1", 8000),
            8000,
            "http://127.0.0.1:8000",
        ),
        ("x://h", b"h", ("x", "h", 0), None, "x://h"),
        ("/a", b"", ("", "", 0), None, "null"),
    ],
)
def test_where_to_connect_and_what_host_says(text, host_header, key, port, origin):
    url = URL(text)
    assert (url.host_header, url.key, url.port, url.origin) == (host_header, key, port, origin)


def test_parts_are_decoded():
    url = URL("https://us%20er:p%40%3A@xn--bcher-kva.example:8443/%C3%A4?q=a+b#fr%20ag")
    assert (url.username, url.password, url.userinfo) == ("us er", "p@:", b"us%20er:p%40%3A")
    assert (url.host, url.raw_host) == ("bücher.example", b"xn--bcher-kva.example")
    assert url.netloc == b"xn--bcher-kva.example:8443"
    assert (url.path, url.query, url.fragment) == ("/ä", b"q=a+b", "fr ag")
    assert url.params["q"] == "a b"
    assert url.is_absolute_url
    assert URL("//h/x").is_relative_url


# What is refused


@pytest.mark.parametrize(
    "text",
    [
        "http://",
        "http:///x",
        "http:x",
        "https://:443/",
        "http://u:p@/",
        "http://h:65536",
        "http://h:x",
        "http://h:-1",
        "http://h:\u0661",
        "http://h:99999999999999999999",
        "http://[::1",
        "http://::1/",
        "http://[::g]/",
        "http://[v1.x]/",
        "http://[::1]x/",
        "http://[fe80::1%25]/",
        "http://[fe80::1%25a/b]/",
        "http://a b/",
        "http://a..b/",
        "http://.a/",
        "http://a<b/",
        "http://a%2Fb/",
        "http://a%00b/",
        "http://" + "a" * 64 + ".b/",
        "http://" + "a." * 200 + "b/",
        "http://256.1.1.1/",
        "http://127.0.0.01/",
        "http://\u2603\ufffd/",
        "http://\u00ad/",
        "http://good\\@evil/",
        "http://h\\x/",
        "http://h/a\r\nb",
        "http://h/\0",
        "http://h/\t",
        "http://h/\n",
        "http://h/\x7f",
        "http://h/\ud800",
        "http://h/" + "a" * MAX_URL_LENGTH,
        "http://h/" + "é" * (MAX_URL_LENGTH // 4),
    ],
)
def test_illegal_urls_raise_invalid_url(text):
    with pytest.raises(InvalidURL):
        parse_url(text)


@pytest.mark.parametrize("value", [None, 1, b"http://h", object()])
def test_other_kinds_raise_type_error(value):
    with pytest.raises(TypeError, match="must be a str"):
        URL(value)


def test_passwords_do_not_show():
    url = URL("http://user:secret@h/user:secret@x")
    assert url.masked == "http://user:***@h/user:secret@x"
    assert "secret@h" not in repr(url)
    assert URL("http://token@h/").masked == "http://token@h/"
    assert "secret" not in URL("user:secret@h/x").masked
    for text in ("http://u:secret@h:x/", "http://u:secret/@h:x", "http://u:secret@a b/", "u:secret@\n"):
        with pytest.raises(InvalidURL) as caught:
            URL(text)
        assert "secret" not in str(caught.value)


# A value


def test_a_url_does_not_change_and_is_copied_as_itself():
    url = URL("http://h/x")
    with pytest.raises(AttributeError, match="copy_with"):
        url.scheme = "https"
    with pytest.raises(AttributeError):
        del url.key
    assert copy.copy(url) is copy.deepcopy(url) is URL(url) is url
    assert parse_url("http://h/x") is parse_url("http://h/x")


def test_pickling_keeps_every_part():
    url = URL("http://u:p@h:81/x?y#z")
    again = pickle.loads(pickle.dumps(url))
    assert type(again) is URL
    assert (again, again.key, again.userinfo, again.target) == (url, url.key, url.userinfo, url.target)


# RFC 3986 §5.4


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("g:h", "g:h"),
        ("g", "http://a/b/c/g"),
        ("./g", "http://a/b/c/g"),
        ("g/", "http://a/b/c/g/"),
        ("/g", "http://a/g"),
        ("//g", "http://g"),
        ("?y", "http://a/b/c/d;p?y"),
        ("g?y", "http://a/b/c/g?y"),
        ("#s", "http://a/b/c/d;p?q#s"),
        ("g#s", "http://a/b/c/g#s"),
        ("g?y#s", "http://a/b/c/g?y#s"),
        (";x", "http://a/b/c/;x"),
        ("g;x", "http://a/b/c/g;x"),
        ("g;x?y#s", "http://a/b/c/g;x?y#s"),
        ("", "http://a/b/c/d;p?q"),
        (".", "http://a/b/c/"),
        ("./", "http://a/b/c/"),
        ("..", "http://a/b/"),
        ("../", "http://a/b/"),
        ("../g", "http://a/b/g"),
        ("../..", "http://a/"),
        ("../../", "http://a/"),
        ("../../g", "http://a/g"),
        # abnormal
        ("../../../g", "http://a/g"),
        ("../../../../g", "http://a/g"),
        ("/./g", "http://a/g"),
        ("/../g", "http://a/g"),
        ("g.", "http://a/b/c/g."),
        (".g", "http://a/b/c/.g"),
        ("g..", "http://a/b/c/g.."),
        ("..g", "http://a/b/c/..g"),
        ("./../g", "http://a/b/g"),
        ("./g/.", "http://a/b/c/g/"),
        ("g/./h", "http://a/b/c/g/h"),
        ("g/../h", "http://a/b/c/h"),
        ("g;x=1/./y", "http://a/b/c/g;x=1/y"),
        ("g;x=1/../y", "http://a/b/c/y"),
        ("g?y/./x", "http://a/b/c/g?y/./x"),
        ("g?y/../x", "http://a/b/c/g?y/../x"),
        ("g#s/./x", "http://a/b/c/g#s/./x"),
        ("g#s/../x", "http://a/b/c/g#s/../x"),
        ("http:g", "http://a/b/c/g"),  # the reading "for backward compatibility", as browsers do
        # beyond the RFC's list
        ("//g:8080/../x", "http://g:8080/x"),
        ("HTTPS://G/a/../b", "https://g/b"),
        ("/a b", "http://a/a%20b"),
    ],
)
def test_join_resolves_as_rfc_3986_says(reference, expected):
    assert URL("http://a/b/c/d;p?q").join(reference) == expected


def test_join_from_other_bases():
    assert URL("http://a").join("g") == "http://a/g"
    assert URL("http://a/x/../y?q").join("") == "http://a/x/../y?q"
    assert URL("a:b").join("urn:isbn:1.2") == "urn:isbn:1.2"
    assert URL("a:/b").join("/..//c") == "a:/.//c"
    assert URL("b/c").join("../x:y") == "./x:y"
    with pytest.raises(InvalidURL):
        URL("http://a/").join("http://[")
    with pytest.raises(TypeError):
        URL("http://a/").join(None)


# Making other URLs


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"scheme": "http"}, "http://u:p@h:8443/a?b#c"),
        ({"host": "g"}, "https://u:p@g:8443/a?b#c"),
        ({"host": "::1"}, "https://u:p@[::1]:8443/a?b#c"),
        ({"host": "bücher.example", "port": None}, "https://u:p@xn--bcher-kva.example/a?b#c"),
        ({"netloc": b"g:1"}, "https://u:p@g:1/a?b#c"),
        ({"netloc": b"[::1]"}, "https://u:p@[::1]/a?b#c"),
        ({"username": "x@y"}, "https://x%40y:p@h:8443/a?b#c"),
        ({"password": "50%:/\n"}, "https://u:50%25%3A%2F%0A@h:8443/a?b#c"),
        ({"password": None}, "https://u@h:8443/a?b#c"),
        ({"userinfo": b""}, "https://h:8443/a?b#c"),
        ({"path": "/x y?#%20"}, "https://u:p@h:8443/x%20y%3F%23%20?b#c"),
        ({"raw_path": b"/x?y=1#"}, "https://u:p@h:8443/x?y=1%23#c"),
        ({"raw_path": b"/x"}, "https://u:p@h:8443/x#c"),
        ({"query": b"z"}, "https://u:p@h:8443/a?z#c"),
        ({"query": None, "fragment": None}, "https://u:p@h:8443/a"),
        ({"params": {"x": [1, 2]}}, "https://u:p@h:8443/a?x=1&x=2#c"),
        ({"params": {}}, "https://u:p@h:8443/a#c"),
        ({"fragment": ""}, "https://u:p@h:8443/a?b"),
    ],
)
def test_copy_with_replaces_only_what_it_is_given(parts, expected):
    assert URL("https://u:p@h:8443/a?b#c").copy_with(**parts) == expected
    assert URL("https://u:p@h:8443/a?b#c", **parts) == expected


def test_copy_with_scheme_takes_its_default_port():
    assert URL("http://h:80/x").copy_with(scheme="https") == "https://h/x"


@pytest.mark.parametrize(
    "parts",
    [
        {"host": "a/b"},
        {"host": "a@b"},
        {"host": "h:80"},
        {"port": 65536},
        {"scheme": "1"},
        {"path": "x"},
        {"host": None},
    ],
)
def test_copy_with_refuses_parts_that_would_become_others(parts):
    with pytest.raises(InvalidURL):
        URL("http://h:81/").copy_with(**parts)


@pytest.mark.parametrize("parts", [{"hots": "a"}, {"port": "80"}, {"path": 1}, {"query": 5}, {"params": 5}])
def test_copy_with_names_what_it_does_not_take(parts):
    with pytest.raises(TypeError):
        URL("http://h/").copy_with(**parts)


def test_relative_paths_cannot_become_authorities():
    with pytest.raises(InvalidURL):
        URL("/x").copy_with(path="//evil/")
    with pytest.raises(InvalidURL):
        URL("x").copy_with(path="javascript:alert")


def test_single_params_are_edited():
    url = URL("http://h/?a=1&b=2&a=3")
    assert url.copy_set_param("a", 4) == "http://h/?a=4&b=2"
    assert url.copy_add_param("c", "x y") == "http://h/?a=1&b=2&a=3&c=x+y"
    assert url.copy_remove_param("a") == "http://h/?b=2"
    assert url.copy_merge_params({"b": None, "a": 5}) == "http://h/?a=5"


@pytest.mark.parametrize(
    ("base", "url", "expected"),
    [
        ("https://h/api", "/x", "https://h/api/x"),
        ("https://h/api/", "x?y#z", "https://h/api/x?y#z"),
        ("https://h", "", "https://h/"),
        ("https://h/api?k=1", "x?y=2", "https://h/api/x?k=1&y=2"),
        ("https://u:p@h/api", "../x", "https://u:p@h/api/../x"),
        ("https://h/api", "http://g/", "http://g/"),
        ("https://h/api", "//g/x", "https://g/x"),
        ("", "/x", "/x"),
    ],
)
def test_base_urls_keep_their_path(base, url, expected):
    assert merge_base(URL(base), URL(url)) == expected


# Parameters


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"a": 1, "b": 1.5, "c": True, "d": False, "e": None, "f": ""}, "a=1&b=1.5&c=true&d=false&f="),
        ({"a": [1, None, "x"], "b": (), "c": ("y",)}, "a=1&a=x&c=y"),
        ([("a", 1), ["a", "2"]], "a=1&a=2"),
        ({"ä b": "é&=+/~*"}, "%C3%A4+b=%C3%A9%26%3D%2B%2F~%2A"),
        ({b"k": b"\xff "}, "k=%FF+"),
        ({1: 2}, "1=2"),
        ("a=b c&d=%41#", "a=b%20c&d=%41%23"),
        (b"a=\xff", "a=%FF"),
        ({}, ""),
        (QueryParams("a=1&a=2"), "a=1&a=2"),
    ],
)
def test_params_are_encoded_as_requests_users_expect(params, expected):
    assert encode_params(params) == expected


@pytest.mark.parametrize("params", [5, ["ab"], [("a", 1, 2)], {"a": {"b": 1}}, [5]])
def test_params_of_other_kinds_raise_type_error(params):
    with pytest.raises(TypeError):
        encode_params(params)


def test_merged_params_are_appended_to_an_untouched_query():
    assert merge_params(URL("http://h/?a=%41&&#f"), {"b": 1}) == "http://h/?a=%41&&&b=1#f"
    assert merge_params(URL("http://h"), {"b": 1}) == "http://h?b=1"
    url = URL("http://h/?a")
    assert merge_params(url, None) is merge_params(url, {"x": None}) is url


def test_query_params_are_a_many_valued_mapping():
    params = QueryParams("a=1&b=2&a=3&c")
    assert list(params) == ["a", "b", "c"]
    assert len(params) == 3
    assert params["a"] == params.get("a") == "1"
    assert params.get("z", "d") == "d"
    assert params.get_list("a") == ["1", "3"]
    assert params.multi_items() == [("a", "1"), ("b", "2"), ("a", "3"), ("c", "")]
    assert dict(params.items()) == {"a": "1", "b": "2", "c": ""}
    assert "a" in params
    assert "z" not in params
    assert str(params) == "a=1&b=2&a=3&c="
    assert params == QueryParams([("b", 2), ("a", 1), ("a", 3), ("c", "")])
    assert params.remove("a") == {"b": "2", "c": ""}
    assert QueryParams(a=1, b=[2, 3]).get_list("b") == ["2", "3"]
    assert not QueryParams()
    with pytest.raises(KeyError):
        params["z"]


# Properties


@settings(max_examples=300, deadline=None)
@given(URLISH | HTTPISH)
def test_parsing_raises_invalid_url_or_gives_a_stable_legal_text(text):
    try:
        url = URL(text)
    except InvalidURL:
        return
    assert url.isascii()
    assert not any(c <= " " or c == "\x7f" for c in url)
    assert b" " not in url.target + url.host_header
    again = URL(str(url))
    assert again == url
    assert (again.key, again.target, again.host_header, again.userinfo) == (
        url.key,
        url.target,
        url.host_header,
        url.userinfo,
    )
    repr(url), url.masked, url.host, url.path, url.params, url.fragment, url.origin, url.netloc, url.username


@settings(max_examples=200, deadline=None)
@given(HTTPISH | URLISH, URLISH)
def test_joining_and_merging_never_raise_anything_else(base, reference):
    try:
        url = URL(base)
        joined = url.join(reference)
    except InvalidURL:
        return
    assert URL(str(joined)) == joined
    try:
        merge_base(url, URL(reference))
    except InvalidURL:
        return


@settings(deadline=None)
@given(st.text(), st.text())
def test_credentials_survive_a_round_trip(username, password):
    try:
        url = URL("http://h/").copy_with(username=username, password=password)
    except ValueError:  # lone surrogates
        return
    assert (url.username, url.password, url.key) == (username, password, ("http", "h", 80))


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_every_path_stays_a_path(path):
    url = URL("http://h/?q#f").copy_with(path="/" + path.replace("%", "%25"))
    assert (url.path, url.query, url.fragment, url.host) == ("/" + path, b"q", "f", "h")


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs"])),
            st.text(st.characters(exclude_categories=["Cs"])),
        )
    )
)
def test_params_survive_a_round_trip(pairs):
    kept = [pair for pair in pairs if pair != ("", "")] if len(pairs) == 1 else pairs
    assert QueryParams(str(QueryParams(kept))).multi_items() == kept
    assert URL("http://h/", params=kept).params.multi_items() == kept
