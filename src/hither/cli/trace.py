"""--verbose: what goes out and comes in, on standard error, without the secrets."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from .escaping import masked, one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from hither._headers import Headers
    from hither._request import Request
    from hither._response import Response

_PHASES = ("pool", "resolve", "connect", "tls", "send", "first_byte", "body", "total")


def hooks() -> dict[str, list[Callable[[Any], None]]]:
    """Return event hooks that tell of every request and response, those of redirects too."""
    return {"request": [_request], "response": [_response]}


def timings(response: Response) -> None:
    """Tell how long the last exchange took, phase by phase; those that took no time are left out."""
    known = response.timings
    if known is None:
        return
    spent = [(phase.replace("_", " "), getattr(known, phase)) for phase in _PHASES]
    _say("* " + ", ".join(f"{phase} {seconds * 1000:.1f} ms" for phase, seconds in spent if seconds))


def _request(request: Request) -> None:
    target = request.url.target.decode("latin-1")
    _say(f"> {request.method} {target}")  # in the version of HTTP that the response will tell
    _fields(">", request.headers)


def _response(response: Response) -> None:
    _connection(response)
    for hint in response.early_hints:
        _say(f"< {response.http_version} 103 Early Hints")
        _fields("<", hint)
    _say(f"< {response.http_version} {response.status_code} {response.reason_phrase}")
    _fields("<", response.headers)


def _connection(response: Response) -> None:
    peer = response.peer
    if peer is None:
        return
    address = " port ".join(map(str, peer)) if isinstance(peer, tuple) else str(peer)
    tls = response.tls
    secured = f", {tls.version()} {tls.cipher()[0]}" if tls is not None else ""
    _say(f"* {address}{secured}")


def _fields(mark: str, headers: Headers) -> None:
    for raw_name, raw_value in headers.raw:
        name = raw_name.decode("latin-1")
        _say(f"{mark} {name}: {masked(name, raw_value.decode('utf-8', 'replace'))}")
    _say(mark)


def _say(line: str) -> None:
    sys.stderr.write(one_line(line, sys.stderr) + "\n")
