"""What a protocol reports of the bytes it was given. Body content is reported as plain `bytes`."""

from __future__ import annotations

Field = tuple[bytes, bytes]


class ResponseHead:
    """A status line and its fields (RFC 9112 §4, RFC 9110 §6.3); informational ones too.

    It is shared by all responses with the same head, so nobody changes it. `coded` and `sets_cookies` tell
    what the fields hold, so that nobody has to search them for it.
    """

    __slots__ = ("coded", "fields", "reason", "sets_cookies", "status", "version")

    def __init__(self, status: int, reason: bytes, version: str, fields: list[Field]) -> None:
        self.status = status
        self.reason = reason
        self.version = version
        self.fields = fields
        self.coded = False
        self.sets_cookies = False

    def __repr__(self) -> str:
        return f"<ResponseHead {self.status} {len(self.fields)} fields>"


class End:
    """The message is complete (RFC 9112 §8); `trailers` came after the content."""

    __slots__ = ("trailers",)

    def __init__(self, trailers: list[Field]) -> None:
        self.trailers = trailers

    def __repr__(self) -> str:
        return f"<End {len(self.trailers)} trailers>"


class RequestHead:
    """A request's method, target and fields as a server receives them (RFC 9110 §9, §7.1).

    `protocol` is that of an extended CONNECT (RFC 8441 §4); a plain CONNECT has neither `scheme` nor `path`.
    """

    __slots__ = ("authority", "fields", "method", "path", "protocol", "scheme")

    def __init__(
        self,
        method: str,
        scheme: bytes | None,
        authority: bytes | None,
        path: bytes | None,
        protocol: bytes | None,
        fields: list[Field],
    ) -> None:
        self.method = method
        self.scheme = scheme
        self.authority = authority
        self.path = path
        self.protocol = protocol
        self.fields = fields

    def __repr__(self) -> str:
        return f"<RequestHead {self.method} {len(self.fields)} fields>"


class Reset:
    """The message ends here, incomplete: the peer gave it up, or broke a rule (RFC 9113 §5.4.2).

    `unprocessed` when the peer says that it has not acted on the request, which may be sent again (§8.7).
    """

    __slots__ = ("code", "reason", "unprocessed")

    def __init__(self, code: int, reason: str, *, unprocessed: bool = False) -> None:
        self.code = code
        self.reason = reason
        self.unprocessed = unprocessed

    def __repr__(self) -> str:
        return f"<Reset {self.reason}>"


END = End([])

Event = ResponseHead | RequestHead | bytes | End | Reset
