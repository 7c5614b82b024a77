"""The cookie jar: what is kept, what is sent, and what never is."""

from __future__ import annotations

import copy
import http.cookiejar
import json
import os
import pickle
import stat
import sys
import time
from types import SimpleNamespace
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hither._errors import HTTPError, LocalProtocolError
from hither._request import Request
from hither._url import URL
from hither.policy import cookies as cookies_module
from hither.policy import public_suffix
from hither.policy._cookie_syntax import parse_cookie_date, parse_set_cookie
from hither.policy.cookies import (
    KEEP_COOKIES,
    KEEP_PER_DOMAIN,
    MAX_COOKIES,
    MAX_PER_DOMAIN,
    CookieConflict,
    Cookies,
)

HOME = "https://example.org/"


def jar(*set_cookies: str, url: str = HOME, now: float | None = None) -> Cookies:
    cookies = Cookies()
    cookies.store(URL(url), list(set_cookies), now)
    return cookies


def header(cookies: Cookies, url: str = HOME) -> str | None:
    return cookies.header_for(URL(url))


@pytest.fixture(params=["list", "built-in"], autouse=True)
def _both_suffix_rules(request, monkeypatch):
    """Everything holds with the Mozilla list and without."""
    if request.param == "built-in":
        monkeypatch.setattr(public_suffix, "_decide", public_suffix.builtin_rule)


# Dates


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",  # RFC 9110 IMF-fixdate
        "Sunday, 06-Nov-94 08:49:37 GMT",  # RFC 850
        "Sun Nov  6 08:49:37 1994",  # asctime
        "Sun, 6-nov-1994 8:49:37",
        "1994 November 6 08:49:37",
        "08:49:37 06nonsense NOVember 1994x",
        "06 Nov 1994 08:49:37 +0700",
        "Sun, 06 Nov 1994 08:49:37 GMT; ignored?",
        "\t06/Nov/1994/08:49:37",
    ],
)
def test_every_form_of_date(text):
    assert parse_cookie_date(text) == 784111777.0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "never",
        "06 Nov 1994",
        "08:49:37 Nov 1994",
        "06 Nov 1994 24:00:00",
        "06 Nov 1994 08:60:37",
        "06 Nov 1994 08:49:60",
        "31 Feb 1994 08:49:37",
        "00 Nov 1994 08:49:37",
        "29 Feb 1900 00:00:00",
        "06 Nov 1600 08:49:37",
        "06 Foo 1994 08:49:37",
        "06 Nov 19945 08:49:37",
        "06 Nov 1994 08:49:371",
        "06 Nov 1994 08:49",
        "-1",
        "0",
    ],
)
def test_what_is_no_date(text):
    assert parse_cookie_date(text) is None


@pytest.mark.parametrize(("two", "year"), [("69", 2069), ("70", 1970), ("99", 1999), ("00", 2000)])
def test_years_of_two_digits(two, year):
    assert time.gmtime(parse_cookie_date(f"01 Jan {two} 00:00:00")).tm_year == year


@given(st.integers(-11644473600, 253402300799))
def test_dates_agree_with_the_standard_library(seconds):
    shown = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(seconds))
    assert parse_cookie_date(shown) == seconds


# Parsing


@pytest.mark.parametrize(
    ("field", "sent"),
    [
        ("a=1", "a=1"),
        ("  a \t=\t 1 ;Path=/", "a=1"),
        ('a="1"', 'a="1"'),
        ('a="1; b=2"', 'a="1'),
        ("a=b=c", "a=b=c"),
        ("a=", "a="),
        ("a", "a"),  # 6265bis: a value without a name
        ("=a", "a"),
        ("=a=b", "a=b"),
        ("a=1, b=2", "a=1, b=2"),
        ("a b=c d", "a b=c d"),
        ("a=\t1\t2\t", "a=1\t2"),
        ('a={"x": [1,2]}', 'a={"x": [1,2]}'),
        ("a=caf\u00e9", "a=caf\u00e9"),
        ("a=1;;;secure ; ; x = y", "a=1"),
        ("a=" + "x" * 4095, "a=" + "x" * 4095),
    ],
)
def test_values_go_back_byte_for_byte(field, sent):
    assert header(jar(field)) == sent


@pytest.mark.parametrize(
    "field",
    ["", "=", "; Path=/", " ; a=b", "a=\x00", "a=1\r\nX: y", "a=\x7f", "a=1; Path=/\x01", "a=" + "x" * 4096,
     "a=" + "\u00e9" * 2048],
)  # fmt: skip
def test_what_is_ignored_whole(field):
    assert header(jar(field)) is None


def test_long_attributes_are_ignored_alone():
    assert jar("a=1; Path=/" + "x" * 1024).records()[0].path == "/"
    assert jar("a=1; Path=/" + "x" * 1023).records()[0].path == "/" + "x" * 1023


@given(st.lists(st.text(alphabet='a=1;PathDomainExpiresMax-AgeSecure/. ,:"\t\x00\u00e9-09', max_size=60), max_size=4))
def test_no_field_raises(fields):
    cookies = jar(*fields)
    header(cookies)
    assert len(cookies.records()) <= len(fields)


def test_attributes_are_kept():
    cookie = jar("a=1; SECURE; httponly; SameSite=Lax; Path=/x; Domain=.Example.org; Max-Age=10").records()[0]
    assert (cookie.secure, cookie.http_only, cookie.same_site, cookie.path) == (True, True, "Lax", "/x")
    assert (cookie.domain, cookie.host_only) == ("example.org", False)
    assert cookie.expires == pytest.approx(time.time() + 10, abs=5)


def test_the_last_attribute_of_a_name_counts():
    assert jar("a=1; Path=/x; Path=/y").records()[0].path == "/y"
    assert jar("a=1; Path=/x; Path=y", url="https://example.org/d/e").records()[0].path == "/d"
    assert jar("a=1; Domain=example.org; Domain=").records()[0].host_only


# Expiry


@pytest.mark.parametrize(
    ("attributes", "expires"),
    [
        ("", None),
        ("; Max-Age=60", 1060.0),
        ("; Max-Age=60; Max-Age=soon", 1060.0),
        ("; Max-Age=+60", None),
        ("; Max-Age=1.5", None),
        ("; Max-Age=", None),
        ("; Expires=Thu, 01 Jan 1970 00:20:00 GMT", 1200.0),
        ("; Expires=Thu, 01 Jan 1970 00:20:00 GMT; Max-Age=60", 1060.0),
        ("; Max-Age=60; Expires=Thu, 01 Jan 1970 00:20:00 GMT", 1060.0),
        ("; Expires=Thu, 01 Jan 1970 00:20:00 GMT; Expires=garbage", 1200.0),
        ("; Expires=Thu, 01 Jan 2099 00:20:00 GMT", 1000.0 + 400 * 86400),
        ("; Max-Age=" + "9" * 1000, 1000.0 + 400 * 86400),
        ("; Max-Age=0", float("-inf")),
        ("; Max-Age=-" + "9" * 1000, float("-inf")),
    ],
)
def test_expiry(attributes, expires):
    assert parse_set_cookie("a=1" + attributes, 1000.0).expires == expires


@pytest.mark.parametrize("end", ["Max-Age=0", "Max-Age=-1", "Expires=Thu, 01 Jan 1970 00:00:00 GMT"])
def test_a_server_deletes_by_expiry(end):
    cookies = jar("a=1", "b=2", f"a=; {end}")
    assert header(cookies) == "b=2"
    assert header(jar(f"a=; {end}")) is None


def test_expired_cookies_are_gone_everywhere():
    cookies = jar("a=1; Max-Age=10", now=time.time() - 20)
    assert header(cookies) is None
    assert "a" not in cookies
    assert len(cookies) == 0
    assert list(cookies) == []
    assert not cookies


# Domains


@pytest.mark.parametrize(
    ("host", "domain", "goes_to", "stays_from"),
    [
        ("example.org", None, ["example.org"], ["www.example.org", "org", "badexample.org"]),
        ("www.example.org", None, ["www.example.org"], ["example.org", "a.www.example.org"]),
        ("www.example.org", "example.org", ["example.org", "www.example.org", "a.b.example.org"], ["badexample.org"]),
        ("www.example.org", ".EXAMPLE.org", ["example.org", "x.example.org"], ["example.com"]),
        ("example.org", "example.org", ["example.org", "www.example.org"], []),
        ("localhost", "localhost", ["localhost"], ["a.localhost"]),
        ("localhost", None, ["localhost"], []),
        ("intranet", "intranet", ["intranet"], ["a.intranet"]),
        ("127.0.0.1", "127.0.0.1", ["127.0.0.1"], ["1.127.0.0.1"]),
        ("[::1]", "[::1]", ["[::1]"], []),
        ("github.io", "github.io", ["github.io"], ["evil.github.io"]),
        ("xn--bcher-kva.example", "xn--bcher-kva.example", ["b\u00fccher.example", "a.b\u00fccher.example"], []),
    ],
)
def test_domains(host, domain, goes_to, stays_from):
    cookies = jar("a=1" if domain is None else f"a=1; Domain={domain}", url=f"https://{host}/")
    for other in goes_to:
        assert header(cookies, f"https://{other}/") == "a=1", other
        assert header(cookies, f"https://{other}:8443/") == "a=1", "ports play no part (RFC 6265 §8.5)"
    for other in stays_from:
        if other not in ("1.127.0.0.1",):  # no host at all
            assert header(cookies, f"https://{other}/") is None, other


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("example.org", "www.example.org"),
        ("example.org", "other.org"),
        ("badexample.org", "example.org"),
        ("example.org", "org"),
        ("example.co.uk", "co.uk"),
        ("example.co.uk", ".uk"),
        ("user.github.io", "github.io"),
        ("127.0.0.1", "0.0.1"),
        ("127.0.0.1", "1"),
        ("example.org", "example.org."),
        ("example.org", "b\u00fccher.example"),
        ("a.localhost", "localhost"),
    ],
)
def test_refused_domains(host, domain):
    assert jar(f"a=1; Domain={domain}", url=f"https://{host}/").records() == []


def test_built_in_rule_without_the_package(monkeypatch):
    monkeypatch.setattr(public_suffix, "_decide", None)
    monkeypatch.setitem(sys.modules, "publicsuffixlist", None)
    assert public_suffix.is_public_suffix("com.au")
    assert not public_suffix.is_public_suffix("web.de")
    assert public_suffix._decide is public_suffix.builtin_rule


# Paths


@pytest.mark.parametrize(
    ("request_path", "attribute", "path"),
    [
        ("/", "", "/"),
        ("", "", "/"),
        ("/x", "", "/"),
        ("/x/", "", "/x"),
        ("/x/y?q=/z/", "", "/x"),
        ("/x/y", "; Path=/z", "/z"),
        ("/x/y", "; Path=z", "/x"),
        ("/x/y", "; Path=", "/x"),
        ("/a%2Fb/c", "", "/a%2Fb"),
    ],
)
def test_paths_that_cookies_get(request_path, attribute, path):
    assert jar("a=1" + attribute, url="https://example.org" + request_path).records()[0].path == path


@pytest.mark.parametrize(
    ("path", "request_path", "matches"),
    [
        ("/", "/anything", True),
        ("/x", "/x", True),
        ("/x", "/x/", True),
        ("/x", "/x/y?z", True),
        ("/x", "/x?y", True),
        ("/x/", "/x", False),
        ("/x/", "/x/y", True),
        ("/x", "/xy", False),
        ("/x", "/X", False),
        ("/x", "/", False),
    ],
)
def test_paths_match(path, request_path, matches):
    sent = header(jar(f"a=1; Path={path}"), "https://example.org" + request_path)
    assert sent == ("a=1" if matches else None)


def test_order_is_longer_paths_then_age():
    cookies = jar("new=3", "b=1; Path=/x", "old=2; Path=/", "c=0; Path=/x/y", "new=4")
    assert header(cookies, "https://example.org/x/y") == "c=0; b=1; new=4; old=2"


def test_same_name_in_several_places_is_sent_from_each():
    cookies = jar("a=1; Domain=example.org", "a=2; Path=/x", "a=3; Path=/x/y", url="https://www.example.org/")
    assert header(cookies, "https://www.example.org/x/y") == "a=3; a=2; a=1"


# Secure, and the prefixes


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://example.org/", "a=1"),
        ("wss://example.org/", "a=1"),
        ("http://example.org/", None),
        ("ws://example.org/", None),
    ],
)
def test_secure_cookies_need_tls(url, sent):
    assert header(jar("a=1; Secure"), url) == sent


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "[::1]", "localhost:8080"])
def test_this_machine_is_secure_enough(host):
    url = f"http://{host}/"
    assert header(jar("a=1; Secure", url=url), url) == "a=1"


@pytest.mark.parametrize("host", ["localhost.example.org", "127.0.0.1.example.org", "10.0.0.1", "127.example"])
def test_other_machines_are_not(host):
    assert jar("a=1; Secure", url=f"http://{host}/").records() == []


@pytest.mark.parametrize(
    ("new", "url", "stored"),
    [
        ("a=evil", "http://example.org/", False),
        ("a=evil; Max-Age=0", "http://example.org/", False),
        ("a=evil; Domain=example.org", "http://example.org/", False),
        ("a=evil; Domain=example.org", "http://www.example.org/", False),
        ("a=evil; Path=/login/x", "http://example.org/", False),
        ("a=evil; Path=/other", "http://example.org/", True),
        ("b=fine", "http://example.org/", True),
        ("a=fine", "http://other.example/", True),
        ("a=fine", "https://example.org/", True),
    ],
)
def test_plain_text_does_not_overwrite_secure_cookies(new, url, stored):
    cookies = jar("a=1; Secure; Domain=example.org; Path=/login")
    cookies.store(URL(url), [new + ("" if "Path" in new else "; Path=/login")])
    assert header(cookies, "https://example.org/login").startswith("a=1")
    assert (len(cookies) == 2) is stored


def test_plain_text_does_not_overlay_the_secure_cookies_of_hosts_below():
    cookies = jar("a=1; Secure", url="https://www.example.org/")
    cookies.store(URL("http://example.org/"), ["a=2; Domain=example.org", "b=2; Domain=example.org"])
    assert header(cookies, "https://www.example.org/") == "a=1; b=2"


@pytest.mark.parametrize(
    ("field", "url", "stored"),
    [
        ("__Secure-a=1; Secure", HOME, True),
        ("__Secure-a=1", HOME, False),
        ("__sEcUrE-a=1", HOME, False),
        ("__Secure-a=1; Secure", "http://example.org/", False),
        ("__Host-a=1; Secure; Path=/", HOME, True),
        ("__Host-a=1; Secure", HOME, False),
        ("__Host-a=1; Path=/", HOME, False),
        ("__host-a=1; Path=/", HOME, False),
        ("__Host-a=1; Secure; Path=/x", HOME, False),
        ("__Host-a=1; Secure; Path=/; Domain=example.org", HOME, False),
        ("=__Secure-a=1; Secure", HOME, False),
        ("__Host-a", HOME, False),
    ],
)
def test_prefixes(field, url, stored):
    assert bool(jar(field, url=url)) is stored


# Bounds


def test_one_domain_keeps_the_most_recently_used():
    cookies = jar("first=1; Max-Age=1000", "secure=1; Secure")
    for number in range(MAX_PER_DOMAIN - 2):
        cookies.store(URL(HOME), [f"n{number}=1; Path=/other"])
    header(cookies)  # uses the first two
    assert len(cookies) == MAX_PER_DOMAIN
    cookies.store(URL(HOME), ["last=1"])
    assert len(cookies) == KEEP_PER_DOMAIN
    assert {"first", "secure", "last"} <= set(cookies)
    assert "n0" not in cookies


def test_all_domains_together_are_bounded():
    cookies = Cookies({"mine": "1"})
    for number in range(MAX_COOKIES + 1):
        cookies.store(URL(f"https://h{number}.example/"), ["a=1"])
    assert KEEP_COOKIES <= len(cookies) <= MAX_COOKIES
    assert len(cookies._domains) <= MAX_COOKIES + 1
    assert cookies["mine"] == "1", "what the user set stays"
    assert header(cookies, "https://h0.example/") == "mine=1"
    assert header(cookies, f"https://h{MAX_COOKIES}.example/") == "mine=1; a=1"


def test_domains_that_became_empty_do_not_pile_up():
    cookies = Cookies()
    for number in range(MAX_COOKIES + 10):
        cookies.store(URL(f"https://h{number}.example/"), ["a=1", "a=; Max-Age=0"])
    cookies.store(URL(HOME), ["a=1"])
    assert len(cookies._domains) < 20


def test_what_a_request_costs_does_not_grow_with_the_jar():
    def cost(domains: int) -> int:
        cookies = jar("a=1")
        for number in range(domains):
            cookies.store(URL(f"https://h{number}.example/"), ["b=1"])
        url, lines = URL("https://www.a.example.org/"), 0

        def count(frame, event, argument):
            nonlocal lines
            lines += 1
            return count

        before = sys.gettrace()
        sys.settrace(count)
        try:
            cookies.header_for(url)
        finally:
            sys.settrace(before)
        return lines

    assert cost(1000) == cost(1)


def test_a_host_of_many_dots_costs_little():
    cookies = jar("a=1")
    start = time.perf_counter()
    cookies._buckets_of("a." * 30000 + "b")
    assert time.perf_counter() - start < 0.1


# The mapping


def test_an_empty_jar_has_no_header():
    assert header(Cookies()) is None
    assert not Cookies()


@pytest.mark.parametrize("value", [{"a": "1", "b": "2"}, [("a", "1"), ("b", "2")], Cookies({"a": "1", "b": "2"})])
def test_made_from(value):
    cookies = Cookies(value)
    assert cookies == {"a": "1", "b": "2"}
    assert dict(cookies) == {"a": "1", "b": "2"}
    assert header(cookies, "http://anywhere.example/x") == "a=1; b=2"
    cookies["c"] = "3"
    assert value is not cookies
    assert len(list(value)) == 2


def test_made_from_a_jar_of_the_standard_library():
    foreign = http.cookiejar.CookieJar()
    options = {"version": 0, "port": None, "port_specified": False, "domain_initial_dot": False, "path": "/x",
               "path_specified": True, "expires": None, "discard": True, "comment": None, "comment_url": None,
               "rest": {}}  # fmt: skip
    foreign.set_cookie(
        http.cookiejar.Cookie(name="a", value="1", domain="example.org", domain_specified=False, secure=True, **options)
    )
    foreign.set_cookie(
        http.cookiejar.Cookie(
            name="b", value="2", domain=".example.org", domain_specified=True, secure=False, **options
        )
    )
    cookies = Cookies(foreign)
    assert header(cookies, "https://example.org/x") == "a=1; b=2"
    assert header(cookies, "https://www.example.org/x") == "b=2"


def test_other_kinds_are_refused():
    for bad in ["a=1", b"a=1", 5]:
        with pytest.raises(TypeError, match="mapping"):
            Cookies(bad)
    with pytest.raises(TypeError, match="str, not int"):
        Cookies({"a": 1})


@pytest.mark.parametrize(
    ("name", "value"), [("a\r\n", "1"), ("a", "1\nX: y"), ("a", "1; b=2"), ("a=b", "1"), ("a;b", "1"), ("a", "\x00")]
)
def test_nothing_can_be_injected(name, value):
    with pytest.raises(LocalProtocolError):
        Cookies().set(name, value)


def test_a_cookie_that_was_changed_by_hand_cannot_inject():
    cookies = jar("a=1")
    cookies.records()[0].value = "1\r\nEvil: 1"
    with pytest.raises(LocalProtocolError, match="CR"):
        Request("GET", HOME).add_cookies(header(Cookies(cookies)))


def test_setting_with_a_domain():
    cookies = Cookies()
    cookies.set("a", "1", domain=".Example.org", path="/x")
    cookies.set("b", "2", domain="b\u00fccher.example")
    cookies.set("c", "3", domain="example.org", host_only=True)
    assert header(cookies, "https://www.example.org/x") == "a=1"
    assert header(cookies, "https://example.org/") == "c=3"
    assert header(cookies, "https://xn--bcher-kva.example/") == "b=2"
    with pytest.raises(ValueError, match="starts with '/'"):
        cookies.set("a", "1", path="x")


def test_several_of_a_name_are_a_conflict():
    cookies = Cookies()
    cookies.set("a", "1", domain="example.org")
    cookies.set("a", "2", domain="example.com", path="/x")
    with pytest.raises(CookieConflict, match=r"example.org/, example.com/x") as caught:
        cookies["a"]
    assert isinstance(caught.value, HTTPError)
    assert cookies.get("a", domain="example.org") == "1"
    assert cookies.get("a", path="/x") == "2"
    assert cookies.get("a", "none", domain="example.net") == "none"
    cookies.delete("a", domain=".example.org")
    assert cookies["a"] == "2"


def test_the_newer_of_the_users_and_the_servers_is_sent():
    cookies = Cookies({"session": "mine", "other": "1"})
    cookies.store(URL(HOME), ["session=renewed; Path=/"])
    assert header(cookies) == "other=1; session=renewed"
    assert header(cookies, "https://elsewhere.example/") == "session=mine; other=1"
    cookies["session"] = "again"
    assert header(cookies) == "other=1; session=again"
    assert cookies["session"] == "again"
    cookies.store(URL(HOME), ["session=third; Path=/"])
    assert header(cookies) == "other=1; session=third"


def test_cookies_of_one_request_win_and_do_not_stay():
    cookies = jar("a=1", "b=2")
    assert cookies.header_for(URL(HOME), Cookies({"a": "9", "c": "3"})) == "b=2; a=9; c=3"
    assert Cookies().header_for(URL(HOME), Cookies({"c": "3"})) == "c=3"
    assert header(cookies) == "a=1; b=2"


def test_as_a_mapping():
    cookies = Cookies({"a": "1"})
    cookies.update({"b": "2"}, c="3")
    assert cookies.pop("b") == "2"
    assert cookies.setdefault("a", "x") == "1"
    del cookies["c"]
    with pytest.raises(KeyError):
        del cookies["c"]
    with pytest.raises(KeyError):
        cookies["c"]
    assert list(cookies) == ["a"]
    assert cookies.get("c") is None
    cookies.clear()
    assert cookies == {} == Cookies()


def test_clear_by_domain_and_path():
    cookies = jar("a=1; Domain=example.org", "b=2; Domain=example.org; Path=/x")
    cookies["c"] = "3"
    cookies.clear("example.org", "/x")
    assert sorted(cookies) == ["a", "c"]
    cookies.clear("example.org")
    assert list(cookies) == ["c"]


def test_equality_is_of_whole_cookies():
    assert jar("a=1") == jar("a=1")
    assert jar("a=1") != jar("a=1; Path=/x")
    assert jar("a=1") == {"a": "1"}
    assert jar("a=1") != 5


def test_repr_shows_no_value():
    assert repr(jar("a=secret; Path=/x")) == "<Cookies [<Cookie a for example.org/x>]>"


def test_copies_are_apart():
    cookies = jar("a=1")
    for other in (Cookies(cookies), copy.deepcopy(cookies), pickle.loads(pickle.dumps(cookies))):
        assert other == cookies
        other.clear()
    assert header(cookies) == "a=1"


def test_iteration_survives_changes():
    cookies = Cookies({"a": "1", "b": "2"})
    for name in cookies:
        del cookies[name]
    assert not cookies


# What a jar remembers of its last answers


class Forgetful(Cookies):
    """A jar that works everything out anew, and puts a cookie that is set again in the place of the old one."""

    __slots__ = ()

    def header_for(self, url, extra=None):
        self._forget()
        return super().header_for(url, extra)

    def store(self, url, set_cookie_values, now=None):
        self._forget()
        super().store(url, set_cookie_values, now)

    def _goes_everywhere(self, name):
        return True


PLACES = [
    URL(f"{scheme}://{host}{path}")
    for scheme in ("http", "https")
    for host in ("example.org", "a.example.org")
    for path in ("/", "/d/e?q", "/d/f")
]
ENDS = ["", "; Max-Age=30", "; Max-Age=90", "; Max-Age=0", "; Expires=Thu, 01 Jan 1970 00:17:40 GMT"]
SET_COOKIE = st.builds(
    "{}={}{}{}{}{}".format,
    st.sampled_from(["a", "b", "__Host-c"]),
    st.sampled_from(["1", "2"]),
    st.sampled_from(["", "; Path=/", "; Path=/d", "; Path=/d/f"]),
    st.sampled_from(ENDS),
    st.sampled_from(["", "", "; Secure"]),
    st.sampled_from(["", "", "; Domain=example.org", "; HttpOnly"]),
)
RESPONSES = st.lists(SET_COOKIE, min_size=1, max_size=3)
STEPS = st.one_of(
    st.tuples(st.just("again"), st.sampled_from(PLACES), st.integers(0, 2)),
    st.tuples(st.just("again"), st.sampled_from(PLACES), st.integers(0, 2)),
    st.tuples(st.just("store"), st.sampled_from(PLACES), RESPONSES),
    st.tuples(st.just("set"), st.sampled_from(["a", "b"]), st.sampled_from(["", "example.org"])),
    st.tuples(st.just("delete"), st.sampled_from(["a", "b"])),
    st.tuples(st.just("clear")),
    st.tuples(st.just("wait"), st.sampled_from([1, 29, 31, 60, -31])),
)


@given(st.lists(RESPONSES, min_size=3, max_size=3), st.lists(STEPS, max_size=40))
def test_a_jar_that_remembers_answers_as_one_that_does_not(responses, steps):
    clock = [1000.0]
    jars = Cookies(), Forgetful()
    with mock.patch.object(cookies_module, "time", SimpleNamespace(time=lambda: clock[0])):
        for action, *values in steps:
            for cookies in jars:
                if action == "again":
                    cookies.store(values[0], responses[values[1]])
                elif action == "store":
                    cookies.store(*values)
                elif action == "set":
                    cookies.set(values[0], "user", values[1])
                elif action == "delete":
                    cookies.delete(values[0])
                elif action == "clear":
                    cookies.clear()
            if action == "wait":
                clock[0] += values[0]
            assert jars[0] == jars[1]
            for place in PLACES:
                assert jars[0].header_for(place) == jars[1].header_for(place)
        assert [record.name for record in jars[0].records()] == [record.name for record in jars[1].records()]


def test_a_response_that_comes_again_is_not_parsed_again(monkeypatch):
    cookies = Cookies()
    response = ["session=1; Path=/; HttpOnly", "theme=dark; Max-Age=60"]
    for _ in range(2):
        cookies.store(URL(HOME), response, time.time())
    monkeypatch.setattr(cookies_module, "parse_set_cookie", None)
    before = cookies.records()[1].expires
    cookies.store(URL(HOME + "other?page"), response)
    assert header(cookies) == "session=1; theme=dark"
    assert cookies.records()[1].expires >= before
    with pytest.raises(TypeError):
        cookies.store(URL(HOME + "other/directory"), response)


def test_a_cookie_header_is_made_once_for_a_host(monkeypatch):
    cookies = jar("a=1", "b=2; Domain=example.org")
    assert header(cookies, HOME + "x") == "a=1; b=2"
    monkeypatch.setattr(Cookies, "_buckets_of", None)
    assert header(cookies, HOME + "y?z") == "a=1; b=2"


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(cookies_module, "time", SimpleNamespace(time=lambda: clock.now))
    return clock


def test_a_remembered_header_ends_with_its_first_cookie(clock):
    cookies = jar("a=1; Max-Age=60", "b=2")
    assert header(cookies) == header(cookies) == "a=1; b=2"
    clock.now = 1059.0
    assert header(cookies) == "a=1; b=2"
    clock.now = 1060.0
    assert header(cookies) == "b=2"
    clock.now = 1059.0
    assert header(cookies) == "a=1; b=2", "the clock was put right"


@pytest.mark.parametrize("times", [1, 2])
def test_a_cookie_that_expired_and_comes_again_is_sent(clock, times):
    cookies = Cookies()
    for _ in range(times):
        cookies.store(URL(HOME), ["a=1; Max-Age=60"])
    clock.now = 1061.0
    assert header(cookies) is None
    cookies.store(URL(HOME), ["a=1; Max-Age=60"])
    assert header(cookies) == "a=1"


@pytest.mark.parametrize("times", [1, 2])
def test_a_cookie_that_ends_earlier_than_before_is_not_sent_later(clock, times):
    cookies = Cookies()
    for _ in range(times):
        cookies.store(URL(HOME), ["a=1; Max-Age=60"])
    assert header(cookies) == "a=1"
    clock.now = 990.0
    cookies.store(URL(HOME), ["a=1; Max-Age=60"])
    clock.now = 1055.0
    assert header(cookies) is None


def test_a_response_deletes_or_sets_by_the_time_it_comes(clock):
    response = ["a=1; Expires=Thu, 01 Jan 1970 00:17:40 GMT"]  # 1060
    cookies = Cookies()
    for now, sent in ((1000.0, "a=1"), (1000.0, "a=1"), (1061.0, None), (1061.0, None), (1000.0, "a=1")):
        clock.now = now
        cookies.store(URL(HOME), response)
        assert header(cookies) == sent
        assert ("a" in cookies) == (sent is not None)
    cookies.store(URL(HOME), response)
    clock.now = 1061.0
    cookies.store(URL(HOME), response)
    assert not cookies._domains["example.org"], "it is gone, and not just hidden"


@pytest.mark.parametrize("times", [1, 2])
def test_a_server_wins_over_the_user_by_repeating_itself(times):
    cookies = Cookies()
    for _ in range(times):
        cookies.store(URL(HOME), ["a=server"])
    cookies.set("a", "user")
    assert header(cookies) == "a=user"
    cookies.store(URL(HOME), ["a=server"])
    assert header(cookies) == "a=server"


def test_what_is_remembered_is_bounded():
    cookies = jar("a=1; Domain=example.org")
    for number in range(1000):
        header(cookies, f"https://h{number}.example.org/")
        for _ in range(2):
            cookies.store(URL(f"https://h{number}.example.org/"), ["a=1; Domain=example.org"])
    assert 0 < len(cookies._outgoing) <= 256
    assert 0 < len(cookies._arrivals) <= 256
    long = [f"{name * 3000}=1" for name in "xy"]
    for _ in range(3):
        cookies.store(URL(HOME), long)
        assert len(header(cookies)) > 6000
    assert not cookies._outgoing
    assert not cookies._arrivals


def test_eviction_knows_what_was_sent_from_memory():
    cookies = jar("oldest=1", *(f"n{number}=1; Path=/other" for number in range(MAX_PER_DOMAIN - 1)))
    header(cookies)
    header(cookies)
    cookies.store(URL(HOME), ["last=1"])
    assert len(cookies) == KEEP_PER_DOMAIN
    assert "oldest" in cookies


def test_eviction_knows_what_was_renewed_from_memory():
    cookies = jar(*(f"n{number}=1; Path=/other" for number in range(MAX_PER_DOMAIN - 1)))
    for _ in range(2):
        cookies.store(URL(HOME), ["kept=1; Path=/kept"])
    header(cookies, HOME + "other")
    cookies.store(URL(HOME), ["kept=1; Path=/kept"])
    cookies.store(URL(HOME), ["last=1"])
    assert "kept" in cookies


def test_a_shallow_copy_is_a_jar_of_its_own():
    cookies = jar("a=1")
    other = copy.copy(cookies)
    assert header(other) == "a=1"
    cookies.set("a", "2", "example.org", host_only=True)
    cookies.clear()
    assert header(other) == "a=1"


# Files


def test_saved_and_loaded(tmp_path):
    path = tmp_path / "cookies.json"
    cookies = jar("session=1; HttpOnly; SameSite=Strict", "kept=2; Max-Age=1000; Domain=example.org; Secure", "=bare")
    cookies["\u00fc"] = "\u00e9"
    cookies.save(path)
    loaded = Cookies()
    assert loaded.load(str(path)) is loaded
    assert loaded == cookies
    assert header(loaded) == header(cookies)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600 or os.name == "nt"


def test_loading_adds_and_leaves_out_the_expired(tmp_path):
    path = tmp_path / "cookies.json"
    cookies = jar("a=1", "b=2; Max-Age=1000")
    cookies.save(path)
    content = json.loads(path.read_text())
    content["cookies"][1]["expires"] = 1000
    path.write_text(json.dumps(content))
    loaded = Cookies({"c": "3"}).load(path)
    assert sorted(loaded) == ["a", "c"]


def test_saving_replaces_in_one_step(tmp_path, monkeypatch):
    path = tmp_path / "cookies.json"
    jar("a=1").save(path)
    before = path.read_text()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        jar("b=2").save(path)
    assert path.read_text() == before
    assert os.listdir(tmp_path) == ["cookies.json"]


@pytest.mark.skipif(os.name == "nt", reason="needs symbolic links")
def test_saving_through_a_link(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    jar("a=1").save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert Cookies().load(tmp_path / "file") == jar("a=1")


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.pop("secure"),
        lambda record: record.update(extra=1),
        lambda record: record.update(name=5),
        lambda record: record.update(expires=True),
        lambda record: record.update(expires="soon"),
        lambda record: record.update(secure=1),
        lambda record: record.update(value="1\r\nX: y"),
        lambda record: record.update(name="a=b"),
        lambda record: record.update(value="1; b=2"),
    ],
)
def test_a_changed_file_is_refused_whole(tmp_path, change):
    path = tmp_path / "cookies.json"
    jar("a=1").save(path)
    content = json.loads(path.read_text())
    change(content["cookies"][0])
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="cookie number 0"):
        Cookies().load(path)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"version": 1}', '{"version": 2, "cookies": []}', "[" * 100000, "\xff"]
)
def test_other_files_are_refused(tmp_path, text):
    path = tmp_path / "cookies.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"cookies\.json: not a cookie file"):
        Cookies().load(path)
    with pytest.raises(FileNotFoundError):
        Cookies().load(tmp_path / "missing")
