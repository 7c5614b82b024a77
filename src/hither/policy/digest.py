"""Digest authentication: its challenges, and the arithmetic of the answers (RFC 7616, 2617 and 2069)."""

from __future__ import annotations

import itertools
import os

from .._patterns import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterable

# Weakest first: RFC 7616 §3.7 lets the client choose. SHA and SHA-512 are in no RFC, but servers that
# Requests and HTTPX talk to use them. To hashlib's names.
_ALGORITHMS = {
    "MD5": "md5",
    "SHA": "sha1",
    "SHA-256": "sha256",
    "SHA-512": "sha512",
    "SHA-512-256": "sha512_256",
}
_STRENGTH = {name: place for place, name in enumerate(_ALGORITHMS)}

# A scheme, or a parameter with its value. Nothing in here can be matched in two ways, so bad input costs
# linear time.
_ITEM = pattern(r'([^\s,="]+)(\s*=\s*(?:"((?:[^"\\]|\\.)*)"?|([^\s,"]*)))?')
_ESCAPED = pattern(r"\\(.)")
_TO_ESCAPE = pattern(r'(["\\])')


def parse_challenges(values: Iterable[str]) -> list[tuple[str, dict[str, str]]]:
    """Every challenge of the WWW-Authenticate fields: the scheme and its parameters, names in lower case.

    A field may hold several (RFC 9110 §11.6.1). Never raises: what cannot be read is passed over.

    >>> parse_challenges(['Basic realm="a, b", Digest nonce=7, qop="auth"'])
    [('basic', {'realm': 'a, b'}), ('digest', {'nonce': '7', 'qop': 'auth'})]
    """
    challenges: list[tuple[str, dict[str, str]]] = []
    for value in values:
        params: dict[str, str] | None = None
        for item in _ITEM.finditer(value):
            if item[2] is None:
                params = {}
                challenges.append((item[1].lower(), params))
            elif params is not None:
                params.setdefault(item[1].lower(), _value(item))
    return challenges


def parse_params(value: str) -> dict[str, str]:
    """The parameters of a field without a scheme, like Authentication-Info.

    >>> parse_params('nextnonce="47", qop=auth')
    {'nextnonce': '47', 'qop': 'auth'}
    """
    return {item[1].lower(): _value(item) for item in _ITEM.finditer(value) if item[2] is not None}


def _value(item: re.Match[str]) -> str:
    return item[4] if item[3] is None else _ESCAPED.sub(r"\1", item[3])


class DigestChallenge:
    """A challenge that can be answered. `qop` is "auth", "auth-int", or empty where the server knows none."""

    __slots__ = (
        "algorithm",
        "nonce",
        "opaque",
        "qop",
        "realm",
        "stale",
        "strength",
        "userhash",
        "utf8",
        "written",
    )

    def __init__(self, algorithm: str, qop: str, params: dict[str, str]) -> None:
        self.algorithm = algorithm
        self.strength = _STRENGTH[algorithm.removesuffix("-SESS")]
        self.qop = qop
        self.realm = params.get("realm", "")
        self.nonce = params["nonce"]
        self.opaque = params.get("opaque")
        # Answered in the server's own spelling, and not at all where it named none: old servers compare
        # bytes.
        self.written = params.get("algorithm")
        self.stale = params.get("stale", "").lower() == "true"
        self.userhash = params.get("userhash", "").lower() == "true"
        self.utf8 = params.get("charset", "").lower() == "utf-8"


def strongest_challenge(values: Iterable[str]) -> DigestChallenge | None:
    """The digest challenge with the strongest algorithm that is known here, `None` when there is none.

    >>> strongest_challenge(['Digest nonce="1", algorithm=MD5', 'Digest nonce="2", algorithm=SHA-256']).nonce
    '2'
    """
    best = None
    for scheme, params in parse_challenges(values):
        if scheme != "digest":
            continue
        challenge = _readable(params)
        if challenge is not None and (best is None or challenge.strength > best.strength):
            best = challenge
    return best


def _readable(params: dict[str, str]) -> DigestChallenge | None:
    algorithm = params.get("algorithm", "MD5").upper()  # RFC 7616 §3.3: the default
    if "nonce" not in params or not _is_known(algorithm.removesuffix("-SESS")):
        return None
    offered = params.get("qop", "").lower().replace(",", " ").split()
    if not offered:
        return DigestChallenge(algorithm, "", params)
    # RFC 7616 §3.4: one of those offered. "auth" first: it needs no look at the body.
    for qop in ("auth", "auth-int"):
        if qop in offered:
            return DigestChallenge(algorithm, qop, params)
    return None


def _is_known(algorithm: str) -> bool:
    name = _ALGORITHMS.get(algorithm)
    if name is None:
        return False
    import hashlib

    return name in hashlib.algorithms_available  # sha512_256 is OpenSSL's, not everywhere built in


class DigestSession:
    """Answers to one challenge, counted; safe for threads. With `nextnonce` a new session goes on from it."""

    __slots__ = ("_cnonce", "_counts", "_hash", "_key", "_nonce", "_password", "_username", "challenge")

    def __init__(self, challenge: DigestChallenge, username: str, password: str) -> None:
        self.challenge = challenge
        self._username = username
        self._password = password
        self._nonce = challenge.nonce
        self._hash = _hash_function(challenge.algorithm)
        self._counts = itertools.count(1)  # `next` on it is one step for all threads
        # One for the whole session: A1 of "-sess" is made of the first one (RFC 7616 §3.4.2), and servers
        # that make it of the current one get the same. The count keeps the answers apart.
        self._cnonce = new_cnonce()
        self._key = self._session_key()

    def renewed(self, nonce: str) -> DigestSession:
        """The session after `nextnonce`: its count starts anew, the key of "-sess" stays (RFC 7616 §3.5)."""
        session = DigestSession(self.challenge, self._username, self._password)
        session._nonce = nonce
        session._cnonce = self._cnonce
        session._key = self._key
        return session

    def authorization(self, method: str, target: str, body: bytes = b"") -> str:
        """The Authorization field's value for a request; `body` counts for "auth-int" only."""
        challenge = self.challenge
        action = f"{method}:{target}"
        if challenge.qop == "auth-int":  # RFC 7616 §3.4.3
            action += ":" + self._hash(body)
        action_hash = self._digest(action)
        fields = self._user_fields()
        fields += [
            f"realm={_quote(challenge.realm)}",
            f"nonce={_quote(self._nonce)}",
            f"uri={_quote(target)}",
        ]
        if challenge.qop:
            count = f"{next(self._counts):08x}"
            proof = f"{self._key}:{self._nonce}:{count}:{self._cnonce}:{challenge.qop}:{action_hash}"
            # RFC 7616 §3.4: qop, nc and algorithm are not quoted.
            fields += [f"qop={challenge.qop}", f"nc={count}", f'cnonce="{self._cnonce}"']
        else:
            proof = f"{self._key}:{self._nonce}:{action_hash}"  # RFC 2069 §2.1.2
            if challenge.algorithm.endswith("-SESS"):
                fields.append(f'cnonce="{self._cnonce}"')
        fields.append(f'response="{self._digest(proof)}"')
        if challenge.written is not None:
            fields.append(f"algorithm={challenge.written}")
        if challenge.opaque is not None:
            fields.append(f"opaque={_quote(challenge.opaque)}")
        return "Digest " + ", ".join(fields)

    def _session_key(self) -> str:
        key = self._digest(f"{self._username}:{self.challenge.realm}:{self._password}")
        if self.challenge.algorithm.endswith("-SESS"):  # RFC 7616 §3.4.2
            key = self._digest(f"{key}:{self._nonce}:{self._cnonce}")
        return key

    def _user_fields(self) -> list[str]:
        if self.challenge.userhash:  # RFC 7616 §3.4.4
            return [f'username="{self._digest(f"{self._username}:{self.challenge.realm}")}"', "userhash=true"]
        if self._username.isascii() or not self.challenge.utf8:
            return [f"username={_quote(self._username)}"]
        # RFC 7616 §3.4: a name that no quoted-string holds. Only for servers that say `charset`: older ones
        # than that RFC do not know the parameter and take plain UTF-8.
        from urllib.parse import quote

        return [f"username*=UTF-8''{quote(self._username, safe='')}"]

    def _digest(self, text: str) -> str:
        return self._hash(text.encode())


def _hash_function(algorithm: str) -> Callable[[bytes], str]:
    import hashlib  # only digest authentication hashes

    name = _ALGORITHMS[algorithm.removesuffix("-SESS")]
    return lambda data: hashlib.new(name, data, usedforsecurity=False).hexdigest()


def new_cnonce() -> str:
    """128 bits that the server could not have foreseen (RFC 7616 §5.12)."""
    return os.urandom(16).hex()


def _quote(text: str) -> str:
    return '"' + _TO_ESCAPE.sub(r"\\\1", text) + '"'
