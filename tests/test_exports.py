"""The public surface: `__all__` is complete, everything in it has a docstring and its promised attributes."""

from __future__ import annotations

import inspect
import pickle
import pkgutil

import pytest

import hither

VERBS = "get post put patch delete head options query request".split()

NAMES = """
    get post put patch delete head options query request stream
    Client AsyncClient Request Response Timings URL QueryParams Headers Cookies Cookie Timeout Limits
    Auth BasicAuth DigestAuth BearerAuth NetRCAuth FunctionAuth
    BaseTransport AsyncBaseTransport MockTransport ASGITransport WSGITransport HTTPTransport AsyncHTTPTransport
    HTTPError InvalidURL UnsupportedProtocol RequestError TransportError TimeoutException ConnectTimeout ReadTimeout
    WriteTimeout PoolTimeout TotalTimeout NetworkError ConnectError NameResolutionError TLSError ReadError WriteError
    CloseError ProtocolError LocalProtocolError RemoteProtocolError ProxyError DecodingError ResponseTooLarge
    TooManyRedirects CircuitOpen WebSocketError WebSocketUpgradeError WebSocketDisconnect HTTPStatusError StreamError
    StreamConsumed StreamClosed ResponseNotRead RequestNotRead __version__
""".split()

ATTRIBUTES = {
    "Response": """
        status_code status reason reason_phrase ok is_success is_informational is_redirect is_client_error
        is_server_error is_error headers url http_version content text encoding charset_encoding json cookies history
        elapsed request links next_request trailers early_hints raise_for_status read aread close aclose iter_bytes
        iter_text iter_lines iter_raw aiter_bytes aiter_text aiter_lines aiter_raw num_bytes_downloaded peer tls timings
        attempts from_cache is_closed is_stream_consumed
    """,
    "URL": """
        scheme host port path raw_path query params fragment userinfo origin join copy_with raw_host netloc username
        password is_absolute_url is_relative_url
    """,
    "Headers": "get_list multi_items raw get keys values items update copy setdefault pop",
    "Cookies": "get set delete clear update save load keys items",
    "Client": " ".join(VERBS) + " stream send build_request close cookies headers base_url timeout __enter__ __exit__",
    "AsyncClient": " ".join(VERBS) + " stream send build_request aclose cookies headers base_url timeout __aenter__",
    "Timings": "pool resolve connect tls send first_byte body total",
    "Cookie": "name value domain path expires secure http_only host_only same_site",
    "Request": "method url headers extensions content read aread",
    "Auth": "auth_flow",
    "BaseTransport": "handle_request close",
    "AsyncBaseTransport": "handle_async_request aclose",
}

TREE = """
    HTTPError: Exception
    InvalidURL: HTTPError ValueError
    UnsupportedProtocol: HTTPError
    RequestError: HTTPError
    TransportError: RequestError
    TimeoutException: TransportError TimeoutError
    ConnectTimeout ReadTimeout WriteTimeout PoolTimeout TotalTimeout: TimeoutException
    NetworkError: TransportError
    ConnectError ReadError WriteError CloseError: NetworkError
    NameResolutionError TLSError: ConnectError
    ProtocolError: TransportError
    LocalProtocolError RemoteProtocolError: ProtocolError
    ProxyError: TransportError
    DecodingError ResponseTooLarge TooManyRedirects CircuitOpen: RequestError
    WebSocketError: RequestError
    WebSocketUpgradeError WebSocketDisconnect: WebSocketError
    HTTPStatusError: HTTPError
    StreamError: HTTPError
    StreamConsumed StreamClosed ResponseNotRead RequestNotRead: StreamError
"""


def public_objects() -> dict[str, object]:
    return {name: getattr(hither, name) for name in hither.__all__}


def test_all_is_complete():
    submodules = {info.name for info in pkgutil.iter_modules(hither.__path__)}
    visible = (
        {name for name in vars(hither) if not name.startswith("_")} - submodules - {"annotations", "TYPE_CHECKING"}
    )
    listed = {name for name in hither.__all__ if not name.startswith("_")}
    assert visible <= listed, f"not in __all__: {sorted(visible - listed)}"
    assert len(hither.__all__) == len(set(hither.__all__))


@pytest.mark.parametrize("name", NAMES)
def test_every_promised_name_is_there(name):
    assert hasattr(hither, name)
    assert name in hither.__all__


def test_star_import_gives_it_all():
    space: dict[str, object] = {}
    exec("from hither import *", space)
    assert set(hither.__all__) <= set(space)


def test_every_public_object_has_a_docstring():
    missing = []
    for name, thing in public_objects().items():
        if inspect.isclass(thing) or inspect.isroutine(thing):
            if not (thing.__doc__ or "").strip():
                missing.append(name)
            if inspect.isclass(thing):
                missing += [f"{name}.{member}" for member in _undocumented(thing)]
    assert not missing, missing


def _undocumented(thing: type) -> list[str]:
    """Public methods and properties that the class itself adds and says nothing about."""
    bases = [base for base in thing.__mro__[1:] if base is not object]
    found = []
    for name, member in vars(thing).items():
        if name.startswith("_") or any(hasattr(base, name) for base in bases):
            continue  # what a base promises need not be said again
        if isinstance(member, property | classmethod | staticmethod) or inspect.isfunction(member):
            inner = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
            if not (inner.__doc__ or "").strip():
                found.append(name)
    return found


def test_every_public_class_and_function_says_where_it_lives():
    """Tracebacks and pickles show `hither.X`'s real module inside the package."""
    for name, thing in public_objects().items():
        if inspect.isclass(thing) or inspect.isfunction(thing):
            assert thing.__module__.split(".")[0] == "hither", name


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_every_promised_attribute_is_there(name):
    thing = getattr(hither, name)
    slots = {slot for base in thing.__mro__ for slot in _slots(base)}
    annotated = {key for base in thing.__mro__ for key in getattr(base, "__annotations__", {})}
    missing = [each for each in ATTRIBUTES[name].split() if not hasattr(thing, each) and each not in slots | annotated]
    if missing and name in SAMPLES:
        missing = [each for each in missing if not hasattr(SAMPLES[name](), each)]
    assert not missing, missing


def _slots(base: type) -> tuple[str, ...]:
    slots = vars(base).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


SAMPLES = {
    "Response": lambda: hither.Response(200, request=hither.Request("GET", "http://example.org/")),
    "Request": lambda: hither.Request("GET", "http://example.org/"),
    "URL": lambda: hither.URL("http://example.org/"),
    "Client": hither.Client,
    "AsyncClient": hither.AsyncClient,
}


def tree() -> list[tuple[str, list[str]]]:
    pairs = []
    for line in TREE.strip().splitlines():
        names, _, bases = line.strip().partition(":")
        pairs += [(name, bases.split()) for name in names.split()]
    return pairs


@pytest.mark.parametrize(("name", "bases"), tree(), ids=lambda value: value if isinstance(value, str) else "")
def test_the_tree_of_errors(name, bases):
    import builtins

    for base in bases:
        parent = getattr(hither, base, None) or getattr(builtins, base)
        assert issubclass(getattr(hither, name), parent)


@pytest.mark.parametrize("name", [name for name, _ in tree() if name != "HTTPStatusError"])
def test_errors_pickle_with_their_request(name):
    error = getattr(hither, name)("what happened")
    error.attach(hither.Request("GET", "http://user:secret@example.org/path"))
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert copy.request.url == error.request.url
    assert "secret" not in str(copy)


def test_status_errors_pickle():
    sent = hither.Request("GET", "http://example.org/")
    with pytest.raises(hither.HTTPStatusError) as caught:
        hither.Response(404, request=sent, content=b"no").raise_for_status()
    copy = pickle.loads(pickle.dumps(caught.value))
    assert copy.response.status_code == 404
    assert "404" in str(copy)
    assert "http://example.org/" in str(copy)


RENAMED = {
    "allow_redirects": "follow_redirects",
    "proxies": "proxy",
    "ssl": "verify",
    "stream": "stream",
    "body": "content",
    "verify_ssl": "verify",
    "max_retries": "retry",
}


@pytest.mark.parametrize("wrong", RENAMED)
def test_an_unknown_keyword_names_the_right_one(wrong):
    with hither.Client() as client, pytest.raises(TypeError, match=wrong) as caught:
        client.get("http://localhost:9/", **{wrong: True})
    assert RENAMED[wrong] in str(caught.value)


def test_a_misspelt_keyword_names_the_right_one():
    with hither.Client() as client, pytest.raises(TypeError, match="timeout"):
        client.get("http://localhost:9/", timout=3)
    with pytest.raises(TypeError, match="base_url"):
        hither.Client(baseurl="http://localhost/")


@pytest.mark.parametrize("verb", VERBS)
def test_both_clients_and_the_module_take_the_same_options(verb):
    """One TypedDict types them all."""
    hints = []
    for owner in (hither, hither.Client, hither.AsyncClient):
        parameters = inspect.signature(getattr(owner, verb)).parameters.values()
        hints += [str(each.annotation) for each in parameters if each.kind is each.VAR_KEYWORD]
    assert len(hints) == 3
    assert len(set(hints)) == 1, hints
