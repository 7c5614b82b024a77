"""TLS settings: which servers to trust, which certificate to show, and what to offer by ALPN."""

from __future__ import annotations

import errno
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from typing import Any, Literal

_shared: dict[tuple[tuple[str, str] | None, str | None, tuple[str, ...]], ssl.SSLContext] = {}


class TLSSettings:
    """What a client was told about TLS; the context is made when it is first needed, and the default one once.

    `verify`: True for the system's trust store, False for none, a path to a CA file or folder, or an
    `ssl.SSLContext` that is used as it is. `cert`: a path to a PEM file with certificate and key, or
    `(certificate, key)`, or `(certificate, key, password)`. `protocols`: what is offered by ALPN (RFC 7301), the
    preferred first; a context of the user's offers what it was made to offer.
    """

    __slots__ = ("_cert", "_context", "_protocols", "_trust_env", "_uncertified", "_verify")

    def __init__(
        self,
        verify: Any = True,
        cert: Any = None,
        *,
        trust_env: bool = True,
        protocols: tuple[str, ...] = ("http/1.1",),
    ) -> None:
        if not isinstance(verify, bool | str | os.PathLike) and not hasattr(verify, "wrap_bio"):
            raise TypeError(f"verify takes True, False, a path or an ssl.SSLContext, not {type(verify).__name__}")
        _check_cert(cert)
        self._verify = verify
        self._cert = cert
        self._trust_env = trust_env
        self._protocols = protocols
        self._context: ssl.SSLContext | None = None
        self._uncertified: TLSSettings | None = None
        if cert is not None or not isinstance(verify, bool):
            self._context = self._make()  # now, so that a wrong path is told where it is given

    @property
    def context(self) -> ssl.SSLContext:
        """The `ssl.SSLContext`, made on first use."""
        if self._context is None:
            self._context = self._make()
        return self._context

    @property
    def uncertified(self) -> TLSSettings:
        """The same without `cert`: for origins that the user did not mean."""
        if self._cert is None:
            return self
        if self._uncertified is None:
            self._uncertified = TLSSettings(self._verify, trust_env=self._trust_env, protocols=self._protocols)
        return self._uncertified

    def _make(self) -> ssl.SSLContext:
        verify = self._verify
        if not isinstance(verify, bool | str | os.PathLike):
            if self._cert is not None:
                raise TypeError("cert= cannot be added to an SSLContext given as verify=: load it into the context")
            return verify  # type: ignore[no-any-return]
        if verify is True and self._cert is None:
            variables = _trust_variables() if self._trust_env else None
            key = (variables, os.environ.get("SSLKEYLOGFILE"), self._protocols)
            if key not in _shared:
                _shared[key] = self._offering(_trusting(trust_env=self._trust_env))
            return _shared[key]
        context = self._offering(_trusting(trust_env=self._trust_env) if verify is True else _configured(verify))
        if self._cert is not None:
            parts = (self._cert,) if isinstance(self._cert, str | os.PathLike) else tuple(self._cert)
            for path in parts[:2]:
                _check_path("cert", path)
            try:
                context.load_cert_chain(*parts)
            except OSError as error:
                raise OSError(f"cert={parts[0]!r} cannot be loaded: {error}") from error
        return context

    def _offering(self, context: ssl.SSLContext) -> ssl.SSLContext:
        context.set_alpn_protocols(list(self._protocols))
        return context


def _check_cert(cert: Any) -> None:
    if cert is None or isinstance(cert, str | os.PathLike):
        return
    takes = "cert takes a path, (certificate, key) or (certificate, key, password)"
    if not isinstance(cert, tuple | list):
        raise TypeError(f"{takes}, not {type(cert).__name__}")
    if len(cert) not in (2, 3):
        raise TypeError(f"{takes}, not {len(cert)} parts")
    for part in cert[:2]:
        if not isinstance(part, str | os.PathLike):
            raise TypeError(f"{takes}, and no {type(part).__name__} as a path")


def covers(certificate: dict[str, Any] | None, host: str) -> bool:
    """Whether a verified certificate is valid for a host (RFC 6125 §6.4, RFC 9525 §6.3).

    >>> covers({"subjectAltName": (("DNS", "*.example.org"),)}, "www.example.org")
    True
    """
    host = host.lower().rstrip(".")
    for kind, told in (certificate or {}).get("subjectAltName", ()):
        name = told.lower()
        if kind == "DNS" and (name == host or (name[:2] == "*." and name[1:] == host[host.find(".") :])):
            return True
        if kind == "IP Address" and name == host:
            return True
    return False


def _check_path(option: str, path: str | os.PathLike[str]) -> None:
    if not os.path.exists(path):
        raise FileNotFoundError(errno.ENOENT, f"{option}= names no file", os.fspath(path))


def _trust_variables() -> tuple[str, str]:
    return os.environ.get("SSL_CERT_FILE", ""), os.environ.get("SSL_CERT_DIR", "")


def _trusting(*, trust_env: bool) -> ssl.SSLContext:
    """Make a context that trusts what the system trusts; SSL_CERT_FILE and SSL_CERT_DIR say otherwise."""
    import ssl

    file, folder = _trust_variables()
    if (file or folder) and trust_env:
        try:
            context = ssl.create_default_context(cafile=file or None, capath=folder or None)
        except OSError as error:
            raise OSError(f"SSL_CERT_FILE={file!r} cannot be loaded: {error.strerror or error}") from error
    elif sys.platform in ("win32", "darwin"):
        import truststore

        context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    else:
        context = _system_context(ignored=bool(file or folder))
    return context


def _system_context(*, ignored: bool) -> ssl.SSLContext:
    """Make a context that trusts OpenSSL's own paths; by name when the variables are ignored, for it reads them too."""
    import ssl

    paths = ssl.get_default_verify_paths()
    if not ignored and (paths.cafile or paths.capath):
        return ssl.create_default_context()
    file = paths.openssl_cafile if os.path.isfile(paths.openssl_cafile) else None
    folder = paths.openssl_capath if os.path.isdir(paths.openssl_capath) else None
    if file is None and folder is None:
        import certifi

        file = certifi.where()
    return ssl.create_default_context(cafile=file, capath=folder)


def _configured(verify: Literal[False] | str | os.PathLike[str]) -> ssl.SSLContext:
    import ssl

    if verify is False:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        _check_path("verify", verify)
        is_folder = os.path.isdir(verify)
        try:
            if is_folder:
                context = ssl.create_default_context(capath=verify)
            else:
                context = ssl.create_default_context(cafile=verify)
        except ssl.SSLError as error:
            raise OSError(f"verify={os.fspath(verify)!r} holds no certificates: {error}") from error
    return context
