"""The file of `Cookies.save()` and `Cookies.load()`: JSON, one object per cookie."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile

from ._cookie_syntax import CONTROL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_VERSION = 1
_TYPES: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "value": (str,),
    "domain": (str,),
    "path": (str,),
    "expires": (int, float, type(None)),
    "secure": (bool,),
    "http_only": (bool,),
    "host_only": (bool,),
    "same_site": (str, type(None)),
}


def write_records(path: str | os.PathLike[str], records: list[dict[str, Any]]) -> None:
    """Replace the file in one step, so that whoever reads it sees the old or the new one whole."""
    target = os.path.realpath(path)  # a symbolic link stays one
    text = json.dumps({"version": _VERSION, "cookies": records}, indent=1)
    # mkstemp gives mode 0600 from the start.
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(target), prefix=".cookies-")
    try:
        with open(handle, "w", encoding="ascii") as file:  # a descriptor, not a path
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def read_records(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The checked fields of each cookie; `ValueError` that names the file for anything else."""
    with open(path, "rb") as file:
        data = file.read()
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{os.fspath(path)}: not a cookie file: {error}") from error
    if not isinstance(content, dict) or content.get("version") != _VERSION:
        raise ValueError(f"{os.fspath(path)}: not a cookie file of version {_VERSION}")
    problem = _problem(content.get("cookies"))
    if problem:
        raise ValueError(f"{os.fspath(path)}: {problem}")
    records: list[dict[str, Any]] = content["cookies"]
    return records


def _problem(records: Any) -> str | None:
    if not isinstance(records, list):
        return "not a cookie file: 'cookies' is not a list"
    for number, record in enumerate(records):
        problem = _problem_of(record)
        if problem:
            return f"cookie number {number}: {problem}"
    return None


def _problem_of(record: Any) -> str | None:
    if not isinstance(record, dict) or record.keys() != _TYPES.keys():
        return f"needs exactly the fields {', '.join(_TYPES)}"
    for field, types in _TYPES.items():
        value = record[field]
        # bool is an int to Python, but not a time.
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            return f"{field} has the wrong type"
        if isinstance(value, str) and (CONTROL.search(value) or ";" in value):
            return f"{field} contains a control character or ';'"
    return "name contains '='" if "=" in record["name"] else None
