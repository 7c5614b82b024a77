"""`hither URL`: one request, and where its answer goes."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from time import monotonic
from typing import TYPE_CHECKING, Any

from hither._client import Client
from hither._errors import HTTPError

from .call import Call
from .exit_codes import BAD_STATUS, USAGE, CommandError

if TYPE_CHECKING:
    import argparse
    from contextlib import AbstractContextManager

    from hither._response import Response


def run(arguments: argparse.Namespace) -> int:
    """Make the request and return the exit code; raises the library's errors and `CommandError`."""
    with ExitStack() as files:
        call = Call(arguments, files)
        if arguments.verbose:
            from .trace import hooks

            call.client["event_hooks"] = hooks()
        try:
            client = files.enter_context(Client(**call.client))
        except (TypeError, ValueError) as error:
            if isinstance(error, HTTPError):
                raise
            raise CommandError(str(error), USAGE) from error
        if arguments.output and arguments.output != "-":
            _save(arguments, call, client)
        else:
            with _exchange(arguments, call, client) as response:
                _show(arguments, response)
                _finish(arguments, response)
    return 0


def _exchange(arguments: argparse.Namespace, call: Call, client: Client) -> AbstractContextManager[Response]:
    """Return the response, open; a bad status is an error when the user said so."""
    response = client.send(client.build_request(call.method, call.url, **call.request), stream=True)
    if arguments.fail and response.status_code >= 400:
        response.close()
        reason = f" {response.reason_phrase}" if response.reason_phrase else ""
        raise CommandError(
            f"{response.status_code}{reason} [{response.request.method} {response.url.masked}]", BAD_STATUS
        )
    return response


def _show(arguments: argparse.Namespace, response: Response) -> None:
    """Write to standard output: for people on a terminal, the bytes elsewhere."""
    terminal = sys.stdout.isatty()
    with_head = arguments.include or arguments.head or (terminal and not arguments.verbose)
    if terminal:
        from .show import Screen

        screen = Screen(sys.stdout)
        if with_head:
            screen.head(response)
        if not arguments.head:
            screen.content(response, apart=with_head)
        return
    out = sys.stdout.buffer
    if with_head:
        out.write(_head_bytes(response))
    for piece in response.iter_bytes():
        out.write(piece)
        out.flush()  # whoever reads an endless response wants each piece as it comes
    out.flush()


def _head_bytes(response: Response) -> bytes:
    """Return the head as it was on the wire."""
    first = f"{response.http_version} {response.status_code} {response.reason_phrase}".encode("latin-1", "replace")
    lines = [first, *(name + b": " + value for name, value in response.headers.raw)]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _save(arguments: argparse.Namespace, call: Call, client: Client) -> None:
    """Write the content to a file, which is there whole or not at all."""
    from .download import new_file, progress, say_saved

    started = monotonic()
    quiet = arguments.silent or not sys.stderr.isatty()
    with new_file(arguments.output) as file:
        with _exchange(arguments, call, client) as response:
            if arguments.include:
                _show_head(response)
            with progress(response, arguments.output, drawn=not quiet) as advance:
                for piece in response.iter_bytes():
                    file.write(piece)
                    advance()
            _finish(arguments, response)
        size = file.size
    if not quiet:
        say_saved(arguments.output, size, monotonic() - started)


def _show_head(response: Response) -> None:
    if sys.stdout.isatty():
        from .show import Screen

        Screen(sys.stdout).head(response)
    else:
        sys.stdout.buffer.write(_head_bytes(response))
        sys.stdout.buffer.flush()


def _finish(arguments: argparse.Namespace, response: Any) -> None:
    if arguments.verbose:
        from .trace import timings

        timings(response)
