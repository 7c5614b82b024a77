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


END = End([])

Event = ResponseHead | bytes | End
