"""Where the time of an exchange went."""

from __future__ import annotations


class Timings:
    """Where the time of the last exchange went, in seconds.

    `pool`: waiting for a connection. `resolve`, `connect`, `tls`: opening one, 0 when it was reused. `send`:
    the request. `first_byte`: from there to the response's head. `body`: from there to its last byte, None
    while it is not read. `total`: all of it.
    """

    __slots__ = ("body", "connect", "first_byte", "pool", "resolve", "send", "tls", "total")

    def __init__(self, marks: list[float], opened: tuple[float, float, float], ended: float | None) -> None:
        self.resolve, self.connect, self.tls = opened
        started, leased, sent, answered = marks
        self.pool = leased - started
        self.send = max(sent - leased - sum(opened), 0.0)
        self.first_byte = answered - sent
        self.body = None if ended is None else ended - answered
        self.total = (answered if ended is None else ended) - started

    def __repr__(self) -> str:
        phases = ", ".join(f"{name}={getattr(self, name) or 0:.6f}" for name in self.__slots__)
        return f"Timings({phases})"
