"""The command line: what can be said, and a URL made whole."""

from __future__ import annotations

import argparse
import re
import textwrap
from typing import TYPE_CHECKING

from hither._version import __version__

from .exit_codes import MEANINGS

if TYPE_CHECKING:
    from collections.abc import Sequence

_DESCRIPTION = """\
Make an HTTP request. A terminal gets the status, the headers and the content, JSON indented; a pipe gets
the bytes of the content and nothing else. Redirects are followed.

`hither demo` shows what the library does, against a small server of its own.
"""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_LOCAL = re.compile(r"(localhost|[^:/?#@]+\.localhost|\d+\.\d+\.\d+\.\d+|\[[^\]]*\])(:\d*)?", re.IGNORECASE)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Return what the command line says; `SystemExit` with code 2 when it is wrong, 0 after --help."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    problem = _contradiction(arguments)
    if problem is not None:
        parser.error(problem)
    arguments.url = complete_url(arguments.url)
    return arguments


def complete_url(url: str) -> str:
    """Return the URL with a scheme: http for this machine and IP addresses, https for all others.

    >>> complete_url("localhost:8000/x"), complete_url("example.org"), complete_url("[::1]/")
    ('http://localhost:8000/x', 'https://example.org', 'http://[::1]/')
    """
    url = url.strip()
    if _SCHEME.match(url):
        return url
    url = url.removeprefix("//")
    authority = re.split(r"[/?#]", url, maxsplit=1)[0]
    local = _LOCAL.fullmatch(authority.rpartition("@")[2])
    return f"{'http' if local else 'https'}://{url}"


def _contradiction(arguments: argparse.Namespace) -> str | None:
    bodies = [
        option
        for option, value in (
            ("--data", arguments.data),
            ("--json", arguments.json),
            ("--form", arguments.form),
        )
        if value
    ]
    if len(bodies) > 1:
        return f"a request has one body: {' or '.join(bodies)}"
    if arguments.head and bodies:
        return f"--head asks for the headers only: no {bodies[0]} with it"
    if arguments.head and arguments.output:
        return "--head brings no content that --output could save"
    if arguments.key and not arguments.cert:
        return "--key belongs to a --cert"
    if arguments.digest and not arguments.user:
        return "--digest needs --user"
    return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hither",
        usage="hither [options] URL\n       hither demo",
        description=_DESCRIPTION,
        epilog="exit codes:\n" + _exit_codes(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "url", metavar="URL", help="without a scheme: http:// for localhost and IP addresses, else https://"
    )
    _add_request(parser.add_argument_group("the request"))
    _add_output(parser.add_argument_group("the output"))
    _add_connection(parser.add_argument_group("the connection"))
    parser.add_argument("--version", action="version", version=f"hither {__version__}")
    return parser


def _add_request(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("-X", "--request", metavar="METHOD", help="the method; GET, or POST when there is something to send")
    add(
        "-H",
        "--header",
        action="append",
        default=[],
        metavar="'NAME: VALUE'",
        help="add a header or replace a default one; 'NAME:' leaves it out, 'NAME;' sends it empty",
    )
    add(
        "-d",
        "--data",
        action="append",
        default=[],
        metavar="DATA",
        help="send DATA, or with @FILE a file as it is, or with @- standard input, as"
        " application/x-www-form-urlencoded unless -H says otherwise; several are joined with '&'",
    )
    add("--json", metavar="JSON", help="send this JSON, or @FILE, or @-; and ask for JSON")
    add(
        "-F",
        "--form",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="add a field to a multipart form, or with NAME=@FILE[;type=T][;filename=N] a file",
    )
    add("-I", "--head", action="store_true", help="make a HEAD request and show the headers")
    add("-u", "--user", metavar="USER[:PASSWORD]", help="log in; without a password it is asked for")
    add("--digest", action="store_true", help="log in with Digest instead of Basic")
    add("--no-follow", dest="follow", action="store_false", help="do not follow redirects")
    add("-L", "--location", dest="follow", action="store_true", default=True, help=argparse.SUPPRESS)
    add("--max-redirs", type=_count, default=20, metavar="N", help="follow at most N redirects (20)")


def _add_output(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("-o", "--output", metavar="FILE", help="save the content; FILE is written when all of it has come")
    add(
        "-i",
        "--include",
        action="store_true",
        help="write status and headers to standard output, in a pipe too",
    )
    add(
        "-v",
        "--verbose",
        action="store_true",
        help="tell on standard error what is sent and received, credentials left out, and how long it takes",
    )
    add("-s", "--silent", action="store_true", help="draw no progress bar")
    add(
        "-f",
        "--fail",
        action="store_true",
        help="make a status of 400 or more an error: no output, exit code 22",
    )


def _add_connection(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--max-time",
        type=_seconds,
        metavar="SECONDS",
        help="for all of it, in place of the limits of each phase (30 s without a byte)",
    )
    add("--connect-timeout", type=_seconds, metavar="SECONDS", help="for opening a connection (5 s)")
    versions = group.add_mutually_exclusive_group()
    versions.add_argument(
        "--http1.1",
        dest="http",
        action="store_const",
        const="1.1",
        help="speak HTTP/1.1 only; without either, https:// servers choose",
    )
    versions.add_argument(
        "--http2", dest="http", action="store_const", const="2", help="speak HTTP/2 only, on http:// without asking"
    )
    add("-k", "--insecure", action="store_true", help="do not verify the server's certificate")
    add("--cacert", metavar="FILE", help="trust these certificate authorities, not the system's")
    add("--cert", metavar="FILE", help="show this client certificate (PEM, with its key unless --key)")
    add("--key", metavar="FILE", help="the key of --cert")


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"takes seconds above 0, not {text}")
    return seconds


_seconds.__name__ = "number of seconds"  # argparse names the type in its own message


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"takes a number from 0 on, not {text}")
    return number


_count.__name__ = "number"


def _exit_codes() -> str:
    return "\n".join(
        textwrap.fill(meaning, 78, initial_indent=f"  {code:>3}  ", subsequent_indent=" " * 7)
        for code, meaning in MEANINGS.items()
    )
