"""What an option takes is said where it is given, and what other libraries call it is known."""

from __future__ import annotations

from typing import Any

import pytest

import hither


def nothing(response: hither.Response) -> None:
    """A hook."""


WRONG: dict[str, tuple[type[Exception], dict[str, Any], str]] = {
    "limits": (TypeError, {"limits": 5}, r"limits takes Limits\(\.\.\.\), not int"),
    "timeout": (TypeError, {"timeout": "5"}, "^timeout takes seconds, .* not str$"),
    "timeout-below-0": (ValueError, {"timeout": -1}, "^timeout takes seconds from 0 on, not -1$"),
    "timeout-list": (TypeError, {"timeout": [3, 5]}, "^timeout takes seconds, .* not list$"),
    "timeout-part": (TypeError, {"timeout": (3, "5")}, "^timeout: read takes seconds as a number, or None, not str$"),
    "cert": (TypeError, {"cert": True}, "^cert takes a path, .* not bool$"),
    "cert-one-part": (TypeError, {"cert": ("client.pem",)}, "^cert takes a path, .* not 1 parts$"),
    "cert-part": (TypeError, {"cert": ("client.pem", 5)}, "^cert takes a path, .* no int as a path$"),
    "hook": (TypeError, {"event_hooks": {"response": nothing}}, "list of functions for 'response', not a function"),
    "hook-none": (TypeError, {"event_hooks": {"response": None}}, "list of functions for 'response', not NoneType"),
    "hook-kind": (TypeError, {"event_hooks": {"response": [5]}}, "'response' has int in its list, not a function"),
    "hooks": (TypeError, {"event_hooks": [nothing]}, "event_hooks takes a dict of lists, .* not list"),
    "follow": (TypeError, {"follow_redirects": "x"}, "follow_redirects takes True or False, not str"),
    "raise": (TypeError, {"raise_for_status": "x"}, "raise_for_status takes True or False, not str"),
    "http1": (TypeError, {"http1": "x"}, "http1 takes True or False, not str"),
    "trust_env": (TypeError, {"trust_env": "no"}, "trust_env takes True or False, not str"),
    "max_redirects": (ValueError, {"max_redirects": -1}, "max_redirects takes 0 or more, not -1"),
    "max_redirects-kind": (TypeError, {"max_redirects": "x"}, "max_redirects takes a whole number, not str"),
    "max_redirects-none": (TypeError, {"max_redirects": None}, "max_redirects takes a whole number, not NoneType"),
    "max_bytes": (TypeError, {"max_response_bytes": "1M"}, "max_response_bytes takes a whole number, or None, not str"),
}


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("client", [hither.Client, hither.AsyncClient])
def test_a_client_refuses_what_an_option_does_not_take(client, kind):
    error, options, message = WRONG[kind]
    with pytest.raises(error, match=message):
        client(**options)


LIMITS: dict[str, tuple[type[Exception], dict[str, Any]]] = {
    "max_connections takes a whole number, or None, not str": (TypeError, {"max_connections": "x"}),
    "max_connections takes a whole number, or None, not bool": (TypeError, {"max_connections": True}),
    "max_connections takes 1 or more, or None, not 0": (ValueError, {"max_connections": 0}),
    "max_connections_per_host takes a whole number, or None, not float": (TypeError, {"max_connections_per_host": 2.5}),
    "max_keepalive_connections takes 0 or more, or None, not -1": (ValueError, {"max_keepalive_connections": -1}),
    "keepalive_expiry takes seconds as a number, or None, not str": (TypeError, {"keepalive_expiry": "60"}),
    "keepalive_expiry takes seconds from 0 on, not -0.5": (ValueError, {"keepalive_expiry": -0.5}),
}


@pytest.mark.parametrize("message", LIMITS)
def test_limits_are_numbers(message):
    error, options = LIMITS[message]
    with pytest.raises(error, match=f"^limits: {message}$"):
        hither.Limits(**options)
    assert hither.Limits(None, None, 0, 0.5).keepalive_expiry == 0.5


@pytest.mark.parametrize("method", [5, None, b"GET"])
async def test_a_method_is_text(face, method):
    message = f"a method is a str, such as 'GET', not {type(method).__name__}"
    async with face.client() as client:
        with pytest.raises(TypeError, match=message):
            await client.request(method, "http://localhost:9/")
        with pytest.raises(TypeError, match=message):
            async with client.stream(method, "http://localhost:9/"):
                pass
        with pytest.raises(TypeError, match=message):
            client.build_request(method, "http://localhost:9/")


# The keywords of what makes clients, connections and requests in Requests 2.34, HTTPX 0.28, AIOHTTP 3.14 and
# urllib3 2.8 that are not ours too, each with a word of what is said about it.
PEERS = {
    "requests": """
        allow_redirects:follow_redirects proxies:proxy hooks:event_hooks stream:client.stream verify:verify cert:cert
        pool_connections:limits pool_maxsize:max_connections_per_host max_retries:retry pool_block:limits
    """,
    "httpx": """
        verify:verify cert:cert trust_env:trust_env http1:http1 mounts:mounts limits:limits event_hooks:event_hooks
        base_url:base_url transport:transport default_encoding:default_encoding uds:uds retries:retry
        local_address:local_address socket_options:socket_options app:ASGITransport
    """,
    "aiohttp": """
        connector:limits loop:nothing proxy_auth:proxy skip_auto_headers:headers={ json_serialize:json_dumps
        json_serialize_bytes:json_dumps request_class:event_hooks response_class:event_hooks
        ws_response_class:event_hooks version:http2= cookie_jar:cookies connector_owner:nothing read_timeout:read=
        conn_timeout:connect= auto_decompress:iter_raw requote_redirect_url:nothing trace_configs:event_hooks
        read_bufsize:stream() max_line_size:nothing max_field_size:nothing max_headers:nothing
        fallback_charset_resolver:default_encoding middlewares:auth ssl_shutdown_timeout:nothing compress:content
        chunked:iterator expect100:Expect read_until_eof:nothing verify_ssl:verify fingerprint:impersonate
        ssl_context:verify ssl:verify server_hostname:sni_hostname proxy_headers:proxy trace_request_ctx:extensions
        upload_tracker:content use_dns_cache:resolver ttl_dns_cache:resolver dns_cache_max_size:resolver
        family:resolver local_addr:local_address resolver:resolver keepalive_timeout:keepalive_expiry
        force_close:max_keepalive_connections limit:limits limit_per_host:max_connections_per_host
        enable_cleanup_closed:nothing timeout_ceil_threshold:nothing happy_eyeballs_delay:nothing interleave:nothing
        socket_factory:socket_options session:Client
    """,
    "urllib3": """
        num_pools:limits maxsize:max_connections_per_host block:limits retries:retry key_file:cert cert_file:cert
        key_password:cert cert_reqs:verify ca_certs:verify ca_cert_dir:verify assert_hostname:verify
        assert_fingerprint:verify body:content redirect:follow_redirects assert_same_host:nothing pool_timeout:pool=
        release_conn:nothing body_pos:nothing preload_content:client.stream decode_content:iter_raw fields:params
    """,
    "others": "http_version:http2= max_redirect:max_redirects payload:json query:params sni_hostname:sni_hostname",
}


@pytest.mark.parametrize(
    ("name", "hint"),
    sorted({tuple(pair.rpartition(":")[::2]) for pairs in PEERS.values() for pair in pairs.split()}),
)
def test_what_other_libraries_call_it_is_known(name, hint):
    with hither.Client() as client, pytest.raises(TypeError) as caught:
        client.get("http://localhost:9/", **{name: None})
    before, use, after = str(caught.value).partition(": use ")
    assert before == f"a request got an unknown keyword {name!r}"
    assert use
    assert hint in after


def test_it_is_said_whose_option_it_is():
    with hither.Client() as client:
        with pytest.raises(TypeError, match=r"use verify, an option of the client: hither.Client\(verify=\.\.\.\)$"):
            client.get("http://localhost:9/", ssl=False)
        with pytest.raises(TypeError, match=r"use json, an option of each call and of build_request\(\)$"):
            client.send(client.build_request("GET", "http://localhost:9/"), json={})
    with pytest.raises(TypeError, match="use verify$"):
        hither.Client(ssl=False)
    with pytest.raises(TypeError, match=r"use json, an option of each call and of build_request\(\)$"):
        hither.Client(json={})
    with pytest.raises(TypeError, match="use proxy, which is not in this version of hither yet$"):
        hither.Client(proxies={})
