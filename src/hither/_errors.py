"""Every error of the library.

```
HTTPError
├─ InvalidURL (also ValueError)      UnsupportedProtocol
├─ RequestError
│  ├─ TransportError
│  │  ├─ TimeoutException (also TimeoutError): ConnectTimeout ReadTimeout WriteTimeout PoolTimeout TotalTimeout
│  │  ├─ NetworkError: ConnectError (NameResolutionError, TLSError) ReadError WriteError CloseError
│  │  ├─ ProtocolError: LocalProtocolError RemoteProtocolError
│  │  └─ ProxyError
│  ├─ DecodingError   ResponseTooLarge   TooManyRedirects   CircuitOpen
│  └─ WebSocketError: WebSocketUpgradeError WebSocketDisconnect
├─ HTTPStatusError (.request .response)
└─ StreamError: StreamConsumed StreamClosed ResponseNotRead RequestNotRead
```
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._request import Request
    from ._response import Response


class HTTPError(Exception):
    """The root of every error that the library raises on purpose.

    >>> issubclass(ReadTimeout, HTTPError) and issubclass(ReadTimeout, TimeoutError)
    True
    """

    def __init__(self, message: str = "", *, request: Request | None = None) -> None:
        super().__init__(message)
        self._request: Request | None = None
        if request is not None:
            self.attach(request)

    @property
    def request(self) -> Request:
        """The request that failed; `RuntimeError` when the error belongs to none."""
        if self._request is None:
            raise RuntimeError("this error was raised before there was a request")
        return self._request

    def attach(self, request: Request) -> None:
        """Say which request this error belongs to, and name it in the message; the first caller wins."""
        if self._request is None:
            self._request = request
            message = self.args[0] if self.args else ""
            self.args = (f"{message} [{request.method} {request.url.masked}]".lstrip(),)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(cls: type[HTTPError], args: tuple[Any, ...], state: dict[str, Any]) -> HTTPError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class InvalidURL(HTTPError, ValueError):
    """The URL cannot be requested: RFC 3986 does not allow it or a part is missing."""


class UnsupportedProtocol(HTTPError):
    """The URL's scheme is none that this client speaks."""


class RequestError(HTTPError):
    """A request was started and no response could be given for it."""


class TransportError(RequestError):
    """The exchange with the server failed below the meaning of HTTP."""


class TimeoutException(TransportError, TimeoutError):
    """Something took longer than `Timeout` allows."""


class ConnectTimeout(TimeoutException):
    """No connection within `Timeout.connect` seconds: name, TCP, proxy and TLS together."""


class ReadTimeout(TimeoutException):
    """The server sent nothing for `Timeout.read` seconds."""


class WriteTimeout(TimeoutException):
    """The server took nothing for `Timeout.write` seconds."""


class PoolTimeout(TimeoutException):
    """No connection came free for anyone within `Timeout.pool` seconds."""


class TotalTimeout(TimeoutException):
    """The call took longer than `Timeout.total` seconds, from its start to the last body byte."""


class NetworkError(TransportError):
    """The operating system reported a failure of the connection."""


class ConnectError(NetworkError):
    """No connection could be opened."""


class NameResolutionError(ConnectError):
    """The host's name has no address."""


class TLSError(ConnectError):
    """The TLS handshake failed, most often because the certificate is not trusted."""


class ReadError(NetworkError):
    """The connection broke while the response was read."""


class WriteError(NetworkError):
    """The connection broke while the request was sent."""


class CloseError(NetworkError):
    """The connection could not be closed in order."""


class ProtocolError(TransportError):
    """One side broke the rules of HTTP."""


class LocalProtocolError(ProtocolError):
    """This side was asked to send what HTTP does not allow; nothing was sent."""


class RemoteProtocolError(ProtocolError):
    """The server sent what HTTP does not allow; the connection is closed."""


class ProxyError(TransportError):
    """The proxy refused or failed."""


class DecodingError(RequestError):
    """The content does not decode as its Content-Encoding says."""


class ResponseTooLarge(RequestError):
    """The decoded content is larger than `max_response_bytes`."""


class TooManyRedirects(RequestError):
    """More redirects than `max_redirects`."""


class CircuitOpen(RequestError):
    """The origin failed so often that it is not asked for a while."""


class WebSocketError(RequestError):
    """A WebSocket failed."""


class WebSocketUpgradeError(WebSocketError):
    """The server did not agree to speak WebSocket."""


class WebSocketDisconnect(WebSocketError):
    """The WebSocket is closed."""


class HTTPStatusError(HTTPError):
    """`Response.raise_for_status()` found a status of 400 or more; carries `.request` and `.response`.

    >>> from hither import Response
    >>> try:
    ...     Response(404).raise_for_status()
    ... except HTTPStatusError as error:
    ...     error.response.status_code
    404
    """

    def __init__(self, message: str = "", *, request: Request | None = None, response: Response) -> None:
        super().__init__(message, request=request)
        self.response = response


class StreamError(HTTPError):
    """A body was used in a way that its state does not allow."""


class StreamConsumed(StreamError):
    """The body was read once already and cannot be read again."""


class StreamClosed(StreamError):
    """The body was closed before it was read."""


class ResponseNotRead(StreamError):
    """The content was asked for before `read()` or `aread()`."""


class RequestNotRead(StreamError):
    """The request's content was asked for before `read()` or `aread()`."""
