"""From the command line to a client and one request."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from hither._options import Timeout

from .exit_codes import READING, USAGE, CommandError

if TYPE_CHECKING:
    import argparse
    from contextlib import ExitStack

_FORM = b"application/x-www-form-urlencoded"
_PARAMETER = re.compile(r";(type|filename)=([^;]*)$")


class Call:
    """What the command line asks for: `client` and `request` are keywords, beside `method` and `url`."""

    def __init__(self, arguments: argparse.Namespace, files: ExitStack) -> None:
        body, described = _body(arguments, files)
        default = "HEAD" if arguments.head else "POST" if body else "GET"
        self.method: str = arguments.request or default
        self.url: str = arguments.url
        self.request: dict[str, Any] = body
        headers = _headers(arguments.header, described)
        if headers:
            self.request["headers"] = headers
        self.client = _client_options(arguments)


def _client_options(arguments: argparse.Namespace) -> dict[str, Any]:
    options: dict[str, Any] = {
        "timeout": _timeout(arguments),
        "follow_redirects": arguments.follow,
        "max_redirects": arguments.max_redirs,
    }
    for path in (arguments.cacert, arguments.cert, arguments.key):
        if path and not Path(path).is_dir():
            _open(path).close()
    if arguments.http:
        options["http1"] = arguments.http == "1.1"
        options["http2"] = arguments.http == "2"
    if arguments.insecure:
        options["verify"] = False
    elif arguments.cacert:
        options["verify"] = arguments.cacert
    if arguments.cert:
        options["cert"] = (arguments.cert, arguments.key) if arguments.key else arguments.cert
    if arguments.user:
        options["auth"] = _auth(arguments.user, digest=arguments.digest)
    return options


def _timeout(arguments: argparse.Namespace) -> Timeout:
    phases = Timeout() if arguments.max_time is None else Timeout(None, total=arguments.max_time)
    if arguments.connect_timeout is None:
        return phases
    return Timeout(phases, connect=arguments.connect_timeout)


def _auth(user: str, *, digest: bool) -> Any:
    from hither.policy.auth import BasicAuth, DigestAuth

    name, colon, password = user.partition(":")
    if not colon:
        from getpass import getpass

        try:
            password = getpass(f"Password of {name}: ")
        except EOFError:
            raise CommandError("--user: no password was given", USAGE) from None
    try:
        return (DigestAuth if digest else BasicAuth)(os.fsencode(name), os.fsencode(password))
    except ValueError as error:
        raise CommandError(f"--user: {error}", USAGE) from error


# Headers


def _headers(given: list[str], described: dict[bytes, bytes]) -> dict[bytes, Any]:
    """Return fields by name, the user's own first: a list of values, or None to leave out a default one."""
    fields: dict[bytes, Any] = {}
    spelling: dict[bytes, bytes] = {}
    for text in given:
        name, value = _header(text)
        name = spelling.setdefault(name.lower(), name)
        if value is None:
            fields.setdefault(name, None)
        else:
            fields[name] = [*(fields.get(name) or ()), value]
    for name, value in described.items():
        if name.lower() not in spelling:
            fields[name] = [value]
    return fields


def _header(text: str) -> tuple[bytes, bytes | None]:
    raw = os.fsencode(text)
    name, colon, value = raw.partition(b":")
    if colon:
        return name.strip(), value.strip() or None
    if raw.endswith(b";"):
        return raw[:-1].strip(), b""
    raise CommandError(f"--header takes 'NAME: VALUE', not {text!r}", USAGE)


# Bodies


def _body(arguments: argparse.Namespace, files: ExitStack) -> tuple[dict[str, Any], dict[bytes, bytes]]:
    """Return the request's body as a keyword, and the fields that describe it."""
    if arguments.form:
        return {"files": [_part(item, files) for item in arguments.form]}, {}
    if arguments.json is not None:
        content = _content(arguments.json)
        _check_json(content)
        # The softer Accept of HTTPie: a server that has no JSON may still answer.
        return {"content": content}, {
            b"Content-Type": b"application/json",
            b"Accept": b"application/json, */*;q=0.5",
        }
    if arguments.data:
        return {"content": _data(arguments.data, files)}, {b"Content-Type": _FORM}
    return {}, {}


def _data(items: list[str], files: ExitStack) -> bytes | BinaryIO:
    """One file is sent as it is read; all else is put together first."""
    if len(items) == 1 and items[0].startswith("@") and items[0] != "@-":
        return files.enter_context(_open(items[0][1:]))
    return b"&".join(map(_content, items))


def _content(item: str) -> bytes:
    if not item.startswith("@"):
        return os.fsencode(item)
    if item == "@-":
        return _stdin()
    with _open(item[1:]) as file:
        return file.read()


def _stdin() -> bytes:
    if sys.stdin is None:
        raise CommandError("cannot read standard input: it is closed", READING)
    return sys.stdin.buffer.read()


def _check_json(content: bytes) -> None:
    from json import loads

    try:
        loads(content)
    except ValueError as error:
        raise CommandError(f"--json: this is not JSON: {error}", USAGE) from error
    except RecursionError:
        pass  # nested deeper than Python reads: the server shall judge


def _part(item: str, files: ExitStack) -> tuple[str, Any]:
    """Return a field of a multipart form as `files=` takes it."""
    name, equals, value = item.partition("=")
    if not equals:
        raise CommandError(f"--form takes NAME=VALUE or NAME=@FILE, not {item!r}", USAGE)
    if not value.startswith("@"):
        return name, (None, os.fsencode(value))
    path, options = value[1:], {}
    while found := _PARAMETER.search(path):
        path = path[: found.start()]
        options[found[1]] = found[2]
    filename = options.get("filename", Path(path).name)
    if path == "-":
        return name, (options.get("filename", "stdin"), _stdin(), options.get("type"))
    return name, (filename, files.enter_context(_open(path)), options.get("type"))


def _open(path: str) -> BinaryIO:
    try:
        return Path(path).open("rb")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise CommandError(f"cannot read {path}: {reason}", READING) from error
