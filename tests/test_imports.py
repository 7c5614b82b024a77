"""Who may import whom: downwards only, and what is not always needed only when it is."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import hither

ROOT = Path(hither.__file__).parent

# From the ground up. A module imports from its own level (its neighbours) and from those before it. A folder stands
# for all its modules; `_version` and `_errors` import nothing. Where a name starts with an underscore, so does the file.
LEVELS: list[list[str]] = [
    ["_version", "_errors", "_patterns", "_timings"],
    ["_patterns"],
    ["_authority", "_query", "_url", "_headers"],
    ["_options"],
    ["_text", "_links", "_decoding", "_multipart", "_body", "protocol", "net"],
    # The jar is a model, as headers are: requests and responses hand it out.
    ["_reading", "policy.public_suffix", "policy._cookie_syntax", "policy._cookie_file", "policy.cookies"],
    ["_request", "_response"],
    ["policy", "_mounts", "_pool", "_resolve", "_tls", "_proxy", "_connect", "connection"],
    ["_network"],
    ["_engine"],
    ["transports", "_setup"],
    ["_client", "_async_client"],
    ["_api"],
    # `_types` stands above all: whoever wants it at run time imports upwards.
    ["", "_types", "cli", "testing", "server", "adapters", "bulk", "websocket", "sse"],
]
LEVEL = {name: number for number, names in enumerate(LEVELS) for name in names}

LOOPS = {"asyncio", "trio", "threading", "uvloop", "anyio", "concurrent", "queue", "_thread"}
SOCKETS = {"socket", "select", "selectors", "_socket"}
MAY_WAIT = ("net",)  # only here: sockets, threads and event loops

# What waits for nothing where it stands: a socket that begins to connect and is waited for in net/, a function that
# is handed to a thread of net/.
STARTED = {"_connect": {"socket"}, "_resolve": {"getaddrinfo"}}


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> Iterator[tuple[str, int, bool]]:
    """Each import that can happen at run time: its absolute name, its line, and whether it waits in a function."""
    package = ["hither", *path.relative_to(ROOT).parent.parts]
    for node, lazy in _running(ast.parse(path.read_text()), lazy=False):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno, lazy
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield (
                    (f"{origin}.{alias.name}" if _is_module(origin, alias.name) else origin),
                    node.lineno,
                    lazy,
                )


def _is_module(origin: str, name: str) -> bool:
    if origin.split(".")[0] != "hither":
        return False
    base = ROOT.joinpath(*origin.split(".")[1:])
    return (base / f"{name}.py").exists() or (base / name / "__init__.py").exists()


def _running(node: ast.AST, *, lazy: bool) -> Iterator[tuple[ast.AST, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield from _running(other, lazy=lazy)
            continue
        yield child, lazy
        yield from _running(child, lazy=lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))


def level_of(module: str) -> int:
    top = module.split(".")[0]
    assert top in LEVEL, f"{module} has no level yet: add it to LEVELS in {__file__}"
    return LEVEL.get(module, LEVEL[top])


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_imports_point_downwards_only(path):
    name = name_of(path)
    if path.name == "__main__.py":
        return
    for imported, line, _ in imports_of(path):
        if imported == "hither" or imported.startswith("hither."):
            target = imported.removeprefix("hither").removeprefix(".")
            assert level_of(target) <= level_of(name), f"{path}:{line}: {name} imports {target}, which stands above it"


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_only_net_knows_loops_threads_and_sockets(path):
    name = name_of(path)
    if name.split(".")[0] in (*MAY_WAIT, "cli", "testing", "server", "bulk"):
        return
    for imported, line, _ in imports_of(path):
        top = imported.split(".")[0]
        assert top not in LOOPS, f"{path}:{line}: the core does not import {top}"
        assert top not in SOCKETS - {"socket"}, f"{path}:{line}: only net/ touches {top}"
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "socket":
            used = {alias.name for alias in node.names}
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "socket":
            used = {node.attr}
        else:
            continue
        used = {each for each in used if not _is_plain_value(each)} - STARTED.get(name, set())
        assert not used, f"{path}:{node.lineno}: only net/ uses {used}"


def _is_plain_value(name: str) -> bool:
    """Constants, errors and text conversions of `socket` do no I/O."""
    return name.isupper() or name in {"gaierror", "inet_pton", "inet_ntop", "inet_aton", "if_nametoindex"}


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_third_party_packages_are_imported_when_first_used(path):
    allowed = set(sys.stdlib_module_names) | {"hither", "__future__"}
    for imported, line, lazy in imports_of(path):
        if imported.split(".")[0] not in allowed:
            assert lazy or name_of(path) in ("net.trio",), f"{path}:{line}: {imported} is imported with the module"


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_modules_are_named_after_what_they_are_for(path):
    assert path.stem.strip("_") not in {"util", "utils", "helper", "helpers", "common", "misc"}


def loaded_by(program: str) -> set[str]:
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import sys\n{program}\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return set(ran.stdout.split())


EXPENSIVE = """
    asyncio trio uvloop anyio rich brotli brotlicffi backports.zstd zstandard truststore idna certifi publicsuffixlist
    ssl _ssl concurrent.futures multiprocessing email.message email.parser mimetypes http.client http.cookiejar
    urllib.request html json gzip zlib hashlib logging inspect dataclasses argparse subprocess sqlite3 xml
    hither.cli hither.net.trio hither.net.asyncio
""".split()


def test_import_hither_is_cheap():
    bare = loaded_by("")
    loaded = loaded_by("import hither") - bare
    assert not loaded & set(EXPENSIVE), sorted(loaded & set(EXPENSIVE))
    assert len([name for name in loaded if not name.startswith("hither")]) <= 60, sorted(loaded)


def test_the_sync_client_loads_no_event_loop():
    loaded = loaded_by("import hither\nwith hither.Client(): pass")
    assert not loaded & {"asyncio", "trio", "uvloop", "anyio", "rich", "concurrent.futures"}


@pytest.mark.time_limit(120)
def test_each_module_can_be_imported_first():
    """No module works only because another was imported before it."""
    for path in modules():
        name = name_of(path)
        if path.name == "__main__.py" or (name == "net.trio" and not _has_trio()):
            continue
        loaded_by(f"import hither.{name}" if name else "import hither")


def _has_trio() -> bool:
    from importlib.util import find_spec

    return find_spec("trio") is not None
