"""The grammar of Set-Cookie: a field value in, a name, a value and attributes out (RFC 6265 §5.1, §5.2)."""

from __future__ import annotations

from functools import lru_cache

from .._patterns import pattern

# RFC 6265bis §5.6: more octets than this in name and value together, and the cookie is ignored (RFC 6265
# §6.1: at least 4096 bytes per cookie).
MAX_NAME_AND_VALUE = 4096
# RFC 6265bis §5.6: an attribute value longer than this many octets is ignored.
MAX_ATTRIBUTE = 1024
# RFC 6265bis §5.5: no cookie lives longer than 400 days, as in Chrome and curl.
MAX_LIFETIME = 400 * 86400.0
# Attributes read before: a site gives all its cookies the same few. Longer texts (characters) are rare.
_MAX_KNOWN = 256
_MAX_KNOWN_TEXT = 256

# RFC 6265bis §5.6 step 1: every control character but the tab.
CONTROL = pattern(r"[\x00-\x08\x0a-\x1f\x7f]")

_DELIMITER = pattern(r"[\x09\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+")
_TIME = pattern(r"([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?![0-9])")
_DAY = pattern(r"([0-9]{1,2})(?![0-9])")
_YEAR = pattern(r"([0-9]{2,4})(?![0-9])")
_MAX_AGE = pattern(r"-?[0-9]+")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS_TO_1970 = 719162  # from the first of January of the year 1
_MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class Attributes:
    """What stands behind a cookie's name and value. Shared by all cookies with the same, so it never changes.

    `path` is `None` when the field names no usable one, and `domain` is `None` when the cookie is for the
    sending host alone.
    """

    __slots__ = ("_date", "_max_age", "domain", "http_only", "path", "same_site", "secure")

    def __init__(self, found: dict[str, str]) -> None:
        self.domain = found.get("domain", "").removeprefix(".").lower() or None  # RFC 6265 §5.2.3
        path = found.get("path", "")
        self.path = path if path.startswith("/") else None  # RFC 6265 §5.2.4
        self.secure = "secure" in found
        self.http_only = "httponly" in found
        self.same_site = found.get("samesite") or None
        self._max_age = int(found["max-age"]) if "max-age" in found else None
        self._date = parse_cookie_date(found["expires"]) if "expires" in found else None

    def expiry(self, now: float) -> float | None:
        """When a cookie that arrives at `now` expires, in Unix seconds; `None`: when its session ends."""
        if self._max_age is not None:  # RFC 6265 §5.3 step 3: it wins over Expires, wherever they stand
            # RFC 6265 §5.2.2: zero and less mean the earliest time there is.
            return now + min(self._max_age, MAX_LIFETIME) if self._max_age > 0 else float("-inf")
        return None if self._date is None else min(self._date, now + MAX_LIFETIME)


class SetCookie:
    """What one Set-Cookie field value says, before it is known whether its sender may say so.

    `expires` is in Unix seconds (`None`: until the session ends).
    """

    __slots__ = ("attributes", "expires", "name", "value")

    def __init__(self, name: str, value: str, attributes: Attributes, expires: float | None) -> None:
        self.name = name
        self.value = value
        self.attributes = attributes
        self.expires = expires


def parse_set_cookie(field: str, now: float) -> SetCookie | None:
    """Read a Set-Cookie field value; `None` when RFC 6265bis §5.6 says to ignore it. Never raises.

    >>> cookie = parse_set_cookie("id=7; Path=/docs; Max-Age=60; Secure", now=1000.0)
    >>> cookie.name, cookie.value, cookie.expires, cookie.attributes.path, cookie.attributes.secure
    ('id', '7', 1060.0, '/docs', True)
    """
    if CONTROL.search(field):
        return None
    pair, _, rest = field.partition(";")
    name, equals, value = pair.partition("=")
    if not equals:  # RFC 6265bis §5.6 step 3: no "=", so all of it is the value of a cookie without a name
        name, value = "", pair
    name, value = name.strip(" \t"), value.strip(" \t")
    if not name and not value:
        return None
    if octets(name + value) > MAX_NAME_AND_VALUE:
        return None
    attributes = _known_attributes(rest) if len(rest) <= _MAX_KNOWN_TEXT else _read_attributes(rest)
    return SetCookie(name, value, attributes, attributes.expiry(now))


def _read_attributes(text: str) -> Attributes:
    found: dict[str, str] = {}
    for attribute in text.split(";"):
        name, _, value = attribute.partition("=")
        name, value = name.strip(" \t").lower(), value.strip(" \t")
        # Of several attributes of one name the last counts (RFC 6265 §5.3 steps 3 to 9), a time only if it
        # is one (§5.2.1, §5.2.2).
        if octets(value) <= MAX_ATTRIBUTE and _counts(name, value):
            found[name] = value
    return Attributes(found)


_known_attributes = lru_cache(_MAX_KNOWN)(_read_attributes)


def _counts(name: str, value: str) -> bool:
    if name == "max-age":
        return _MAX_AGE.fullmatch(value) is not None
    return name != "expires" or parse_cookie_date(value) is not None


def parse_cookie_date(text: str) -> float | None:
    """Unix seconds of a date in any form that RFC 6265 §5.1.1 accepts, `None` for anything else.

    >>> parse_cookie_date("Sun, 06 Nov 1994 08:49:37 GMT")
    784111777.0
    >>> parse_cookie_date("Sunday, 06-Nov-94 08:49:37 GMT") == parse_cookie_date("Sun Nov  6 08:49:37 1994")
    True
    """
    found = _date_parts(text)
    if found is None:
        return None
    (hour, minute, second), day, month, year = found
    if year < 100:  # RFC 6265 §5.1.1 steps 3 and 4
        year += 1900 if year >= 70 else 2000
    if year < 1601 or hour > 23 or minute > 59 or second > 59 or not 1 <= day <= _days_in(month, year):
        return None
    return _days_since_epoch(year, month, day) * 86400.0 + hour * 3600 + minute * 60 + second


def _date_parts(text: str) -> tuple[tuple[int, int, int], int, int, int] | None:
    time = day = month = year = None
    for token in _DELIMITER.split(text):
        # RFC 6265 §5.1.1 step 2: each token is the first of these that is still missing and that it can be.
        if time is None and (match := _TIME.match(token)):
            time = int(match[1]), int(match[2]), int(match[3])
        elif day is None and (match := _DAY.match(token)):
            day = int(match[1])
        elif month is None and token[:3].lower() in _MONTHS:
            month = _MONTHS.index(token[:3].lower()) + 1
        elif year is None and (match := _YEAR.match(token)):
            year = int(match[1])
    if time is None or day is None or month is None or year is None:
        return None
    return time, day, month, year


def _days_in(month: int, year: int) -> int:
    return 29 if month == 2 and _is_leap(year) else _MONTH_DAYS[month - 1]


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _days_since_epoch(year: int, month: int, day: int) -> int:
    before = year - 1
    days = before * 365 + before // 4 - before // 100 + before // 400 - _DAYS_TO_1970
    days += sum(_days_in(earlier, year) for earlier in range(1, month))
    return days + day - 1


def default_path(request_path: str) -> str:
    """The path of a cookie that names none: that of the request up to its last "/" (RFC 6265 §5.1.4).

    >>> default_path("/docs/a/page.html"), default_path("/page"), default_path("")
    ('/docs/a', '/', '/')
    """
    return request_path[: request_path.rfind("/")] or "/" if request_path.startswith("/") else "/"


def path_matches(request_path: str, cookie_path: str) -> bool:
    """Whether a cookie of this path goes with a request for that one (RFC 6265 §5.1.4).

    >>> path_matches("/docs/a", "/docs"), path_matches("/docsearch", "/docs")
    (True, False)
    """
    if not request_path.startswith(cookie_path):
        return False
    end = len(cookie_path)
    return len(request_path) == end or cookie_path.endswith("/") or request_path[end] == "/"


def domain_matches(host: str, domain: str) -> bool:
    """Whether the host is that domain or lies below it (RFC 6265 §5.1.3). Both in lower case.

    >>> domain_matches("a.example.org", "example.org"), domain_matches("badexample.org", "example.org")
    (True, False)
    """
    return host == domain or (host.endswith("." + domain) and not is_ip(host))


def is_ip(host: str) -> bool:
    """Whether the host is an IPv4 or IPv6 literal rather than a name.

    >>> is_ip("127.0.0.1"), is_ip("::1"), is_ip("1.example.org")
    (True, True, False)
    """
    # A name never has a colon, and none ends in a label of digits alone (WHATWG URL, "ends in a number").
    return ":" in host or host[host.rfind(".") + 1 :].isdecimal()


def octets(text: str) -> int:
    """The length in bytes on the wire."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
