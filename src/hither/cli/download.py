"""Saving content to a file: whole or not at all, with a progress bar."""

from __future__ import annotations

import secrets
import signal
import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from .escaping import one_line
from .exit_codes import WRITING, CommandError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from hither._response import Response

_ENDING = ("SIGTERM", "SIGHUP")


class NewFile:
    """A file that is being written; `size` counts its bytes."""

    def __init__(self, file: BinaryIO, path: str) -> None:
        self._file = file
        self._path = path
        self.size = 0

    def write(self, data: bytes) -> None:
        """Write all of `data`; `CommandError` when the disk will not take it."""
        try:
            self._file.write(data)
        except OSError as error:
            raise _cannot_write(self._path, error) from error
        self.size += len(data)


@contextmanager
def new_file(path: str) -> Iterator[NewFile]:
    """Open a file beside `path` that takes its place at the end of the `with` block, and only then.

    After an error, Ctrl-C or a signal it is gone, and what stood at `path` is as it was. A device or a pipe
    is written to as it is. Raises `CommandError`.
    """
    place = Path(path).resolve()  # a link stays a link
    if place.exists() and not place.is_file():
        with _opened(place, path, "wb") as file:
            yield NewFile(file, path)
        return
    part = place.with_name(f".{place.name[:100]}.{secrets.token_hex(4)}.part")
    with _ended_by_signals():
        try:
            with _opened(part, path, "xb") as file:
                yield NewFile(file, path)
            _move(part, place, path)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise


@contextmanager
def _opened(place: Path, path: str, mode: str) -> Iterator[BinaryIO]:
    try:
        file: Any = place.open(mode)
    except (OSError, ValueError) as error:
        raise _cannot_write(path, error) from error
    try:
        yield file
    except BaseException:
        with suppress(OSError):
            file.close()
        raise
    try:
        file.close()  # what was buffered is written here
    except OSError as error:
        raise _cannot_write(path, error) from error


def _move(part: Path, place: Path, path: str) -> None:
    try:
        with suppress(FileNotFoundError):
            part.chmod(place.stat().st_mode & 0o7777)
        part.replace(place)
    except OSError as error:
        raise _cannot_write(path, error) from error


def _cannot_write(path: str, error: OSError | ValueError) -> CommandError:
    reason = error.strerror if isinstance(error, OSError) else error
    return CommandError(f"cannot write {path}: {reason}", WRITING)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let signals that end the process do it by an exception, so that the unfinished file is removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    numbers = [getattr(signal, name) for name in _ENDING if hasattr(signal, name)]
    # One that is ignored, as nohup has it, stays so.
    before = {number: signal.getsignal(number) for number in numbers}
    taken = {number: handler for number, handler in before.items() if handler is signal.SIG_DFL}
    for number in taken:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)


@contextmanager
def progress(response: Response, path: str, *, drawn: bool) -> Iterator[Callable[[], None]]:
    """Draw a progress bar on standard error if `drawn` and rich is there; gives what advances it."""
    bar = _bar() if drawn else None
    if bar is None:
        yield _nothing
        return
    from rich.markup import escape

    length = response.headers.get("content-length", "")
    total = int(length) if length.isdecimal() and length.isascii() else None
    with bar:
        task = bar.add_task(escape(one_line(Path(path).name, sys.stderr)), total=total)
        # Both numbers count bytes as they came, before a Content-Encoding is undone.
        yield lambda: bar.update(task, completed=response.num_bytes_downloaded)


def _nothing() -> None:
    pass


def _bar() -> Any:
    try:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.progress import TransferSpeedColumn as SpeedColumn
    except ImportError:
        return None
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        SpeedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(file=sys.stderr)
    return Progress(*columns, console=console, redirect_stdout=False, redirect_stderr=False, transient=True)


def say_saved(path: str, size: int, seconds: float) -> None:
    """Say on standard error what was saved."""
    line = f"{path}: {readable(size)} in {seconds:.1f} s"
    sys.stderr.write(one_line(line, sys.stderr) + "\n")


def readable(size: int) -> str:
    """Return a number of bytes for people.

    >>> readable(999), readable(3 * 1024 * 1024)
    ('999 bytes', '3.0 MiB')
    """
    if size < 1024:
        return f"{size} bytes"
    value, unit = size / 1024, "KiB"
    for larger in ("MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.1f} {unit}"
