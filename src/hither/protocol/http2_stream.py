"""One exchange of an HTTP/2 connection, RFC 9113 §5."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .events import Event


class Stream:
    """One exchange. `events` holds what has come and nobody has taken yet."""

    __slots__ = (
        "_expected",
        "_interims",
        "_method",
        "_received",
        "_target",
        "_tunnel",
        "_used",
        "_window_in",
        "answered",
        "ended",
        "events",
        "has_head",
        "id",
        "owner",
        "sent_end",
        "window_out",
    )

    def __init__(self, stream_id: int, method: str, window_out: int, window_in: int, owner: Any) -> None:
        self.id = stream_id
        self.owner = owner
        self.events: list[Event] = []
        self.has_head = False  # the peer's final head has come
        self.answered = False  # a server has sent a head
        self.ended = False  # the peer has said all, or the stream was reset
        self.sent_end = False
        self.window_out = window_out  # bytes that may be sent; below zero when the peer took some back
        self._method = method
        self._window_in = window_in
        self._target = window_in  # what `_window_in` is filled up to
        self._expected: int | None = None  # Content-Length
        self._received = 0  # bytes of content
        self._used = 0  # of them, those that were read
        self._interims = 0
        self._tunnel = False  # §8.5: after CONNECT there is only content

    def __repr__(self) -> str:
        return f"<Stream {self.id}>"
