"""README and docs/ say what is true: their Python examples run, and their tables name what there is.

Each page's ```python blocks run in order in one namespace, against a local server that stands in for every host below
example.org, over TLS. What `print(...)  # text` says in its comment must be among what it prints, in order.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import io
import re
import socket
import ssl
import tomllib
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from servers.echo import EchoServer

import hither
from hither import _api, _setup
from hither._options import NOT_YET
from hither._types import ClientOptions, RequestOptions

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
WITH_EXAMPLES = [page for page in PAGES if "\n```python\n" in page.read_text("utf-8")]

TOML = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT = TOML["project"]
README = (ROOT / "README.md").read_text("utf-8")

ITEMS = [{"id": 1, "name": "lamp"}, {"id": 2, "name": "chair"}]


class DocumentedServer(EchoServer):
    """The shop of the examples; what it does not know it echoes."""

    def _script(self, connection: Any) -> None:
        with contextlib.suppress(ConnectionError):
            super()._script(connection)


def shop(call: Any) -> bool:
    """Answer what the examples ask for; False for all else."""
    path = call.path
    if path == "/":
        call.send(b"<h1>Example</h1>", content_type="text/html")
    elif path == "/items":
        call.send_json(ITEMS)
    elif path.startswith("/items/"):
        call.send_json(ITEMS[int(path.rpartition("/")[2]) - 1])
    elif path == "/login":
        call.send(b"welcome", ("Set-Cookie", "session=1815; Secure; HttpOnly"))
    elif path == "/me":
        known = call.head.get("authorization") == b"Basic YWRhOnNlY3JldA=="
        call.send_json({"user": "ada"} if known else None, status=200 if known else 401)
    elif path == "/token":
        call.send(status=200 if call.head.get("authorization") == b"Bearer new" else 401)
    elif path == "/old":
        call.send(b"moved", ("Location", "/items"), status=301)
    elif path == "/log":
        call.argument = "3"
        call.do_stream()
    elif path == "/missing":
        call.send(b"no such thing", status=404)
    else:
        return False
    return True


@pytest.fixture
def server(authority: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[DocumentedServer]:
    from servers import echo

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("example.org", "*.example.org").configure_cert(context)
    answer = echo.Call.answer
    monkeypatch.setattr(echo.Call, "answer", lambda call: shop(call) or answer(call))
    with DocumentedServer(tls=context) as running:
        yield running


@pytest.fixture
def example_org(
    server: DocumentedServer, authority_file: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[None]:
    """Let example.org and all below it be the local server, and this folder an empty one but for photo.jpg."""
    port = hither.URL(server.url("/")).port

    class Local(hither.Resolver):
        def lookup(self, host: str, port_asked: int) -> Any:
            if host != "example.org" and not host.endswith(".example.org"):
                raise OSError(f"{host} is not an example")
            return [(socket.AF_INET, ("127.0.0.1", port))]

    monkeypatch.setenv("SSL_CERT_FILE", authority_file)
    monkeypatch.setattr(_setup, "_RESOLVER", Local())
    monkeypatch.setattr(_api, "_default", None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    yield
    if _api._default is not None:
        _api._default.close()


def examples(page: Path) -> Iterator[tuple[int, str]]:
    """Each example with the number of its first line."""
    text = page.read_text("utf-8")
    for found in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield text.count("\n", 0, found.start(1)) + 1, found[1]


def promised(source: str) -> list[str]:
    """What stands in the comments behind calls of `print`."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return [
        token.string.removeprefix("#").strip()
        for token in tokens
        if token.type == tokenize.COMMENT and re.match(r"\s*print\(.*\)  #", token.line)
    ]


def printed_by(source: str, line: int, page: Path, space: dict[str, Any]) -> list[str]:
    code = compile("\n" * (line - 1) + source, str(page), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    with contextlib.redirect_stdout(io.StringIO()) as output:
        result = eval(code, space)
        if result is not None:
            asyncio.run(result)
    return output.getvalue().splitlines()


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=lambda page: page.name)
@pytest.mark.usefixtures("example_org")
def test_the_examples_run_and_print_what_they_say(page):
    space: dict[str, Any] = {"__name__": "example"}
    for line, source in examples(page):
        printed = iter(lines := printed_by(source, line, page, space))
        for text in promised(source):
            assert text in printed, f"{page.name}, the example in line {line}, prints {lines} and not {text!r}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)", page.read_text("utf-8")):
        there = (page.parent / target) if target else page
        assert there.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.*)$", there.read_text("utf-8"), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w-]", "", title.lower().replace(" ", "-")) for title in titles], anchor


def section(title: str, text: str = README) -> str:
    return re.split(r"^## ", text.partition(f"\n## {title}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def first_cells(table: str) -> set[str]:
    cells = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def test_the_readme_lists_every_option():
    of_request, _, of_client = section("Options").partition("Of a client")
    assert first_cells(of_request) == set(RequestOptions.__annotations__)
    shared = set(re.findall(r"\w+", of_client.partition("`")[2].partition("`")[0]))
    assert shared == set(ClientOptions.__annotations__) & set(RequestOptions.__annotations__)
    assert first_cells(of_client) == set(ClientOptions.__annotations__) - shared


def test_the_readme_says_what_is_not_there_yet():
    missing = section("Not yet")
    assert set(re.findall(r"`(\w+)=`", missing)) == NOT_YET
    for name in NOT_YET:
        with pytest.raises(TypeError, match="not in this version"):
            hither.Client(**{name: True})


@pytest.mark.parametrize("page", [ROOT / "docs" / "errors.md", ROOT / "README.md"], ids=lambda page: page.name)
def test_the_tree_of_errors_names_what_there_is(page):
    text = page.read_text("utf-8")
    tree = re.search(r"^```\n(HTTPError\n.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert tree is not None
    ours = {name for name in hither.__all__ if isinstance(getattr(hither, name), type)}
    ours = {name for name in ours if issubclass(getattr(hither, name), hither.HTTPError)}
    named = set(re.findall(r"\b[A-Z]\w+", tree[1])) - {"ValueError", "TimeoutError"}
    assert named <= ours
    if page.name == "errors.md":
        assert named == ours


def test_the_readme_explains_every_dependency():
    table = section("Dependencies")
    optional = PROJECT["optional-dependencies"]
    for requirement in [*PROJECT["dependencies"], *(each for group in optional.values() for each in group)]:
        name = re.match(r"[\w.-]+", requirement)[0]
        assert name == "hither" or f"`{name}`" in table, name
    assert set(re.findall(r"`\[(\w+)\]`", table)) == set(optional)


@pytest.mark.parametrize("mark", ["demo", "tests"])
def test_the_readme_has_its_two_commands(mark):
    command = README.partition(f"<!-- {mark} -->\n```\n")[2].partition(f"```\n<!-- /{mark} -->\n")[0]
    assert command.startswith("python3 -m venv .venv && .venv/bin/pip install ")
    assert command.count("\n") == 1


def test_the_sdist_has_what_it_takes_to_work_on_the_project():
    guide = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    linked = {target.partition("/")[0] for target in re.findall(r"\]\((?!https?:)([^)#]+)", README + guide)}
    named = set(re.findall(r"^([.\w]+)/", guide, re.MULTILINE)) - {".venv"}
    included = TOML["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert linked | named <= set(included)
    assert all((ROOT / name).exists() for name in included)


def test_the_changelog_tells_this_version():
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert f"\n## [{hither.__version__}] - " in changes
