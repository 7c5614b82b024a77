"""The `hither` command: one request, shown or saved; and `hither demo`, a tour."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from hither._errors import HTTPError

from .exit_codes import FAILED, INTERRUPTED, NO_READER, USAGE, WRITING, CommandError, code_for

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; `argv` is `sys.argv[1:]` unless it is given.

    >>> main(["--version"]) == 0  # doctest: +ELLIPSIS
    hither ...
    True
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    _open_what_is_closed()
    try:
        return _dispatch(arguments)
    except SystemExit as done:  # argparse, and signals that end a download
        return done.code if isinstance(done.code, int) else FAILED if done.code else 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except CommandError as error:
        return _fail(str(error), error.code)
    except HTTPError as error:
        return _fail(str(error), code_for(error))
    except BrokenPipeError:
        _forget_stdout()
        return NO_READER
    except UnicodeError as error:
        return _fail(f"an argument is not text: {error}", USAGE)
    except OSError as error:  # files and sockets have their own errors: this is standard output
        _forget_stdout()
        return _fail(f"cannot write to standard output: {error.strerror or error}", WRITING)


def _open_what_is_closed() -> None:
    """Write to nowhere where the shell gave no place to write to (`>&-`)."""
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 # lives as long as the process
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 # the same


def _dispatch(arguments: list[str]) -> int:
    if arguments[:1] == ["demo"]:
        from .demo import run_demo

        code = run_demo(arguments[1:])
    else:
        from .arguments import parse
        from .command import run

        code = run(parse(arguments))
    sys.stdout.flush()
    return code


def _fail(message: str, code: int) -> int:
    """Say in one line what went wrong."""
    from .escaping import one_line

    with suppress(OSError):  # when nobody listens, the exit code still tells
        sys.stderr.write(f"hither: {one_line(message, sys.stderr)}\n")
    return code


def _forget_stdout() -> None:
    """Let the interpreter's last flush go nowhere: what is still buffered cannot be written."""
    with suppress(OSError, ValueError):  # it may be no file
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
