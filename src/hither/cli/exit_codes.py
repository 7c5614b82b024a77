"""What the command's exit code says: curl's numbers where curl has one, so that scripts can keep theirs."""

from __future__ import annotations

from hither._errors import (
    ConnectError,
    DecodingError,
    HTTPError,
    InvalidURL,
    LocalProtocolError,
    NameResolutionError,
    ReadError,
    RemoteProtocolError,
    TimeoutException,
    TLSError,
    TooManyRedirects,
    WriteError,
)

FAILED = 1
USAGE = 2
BAD_URL = 3
NO_NAME = 6
NO_CONNECTION = 7
NOT_HTTP = 8
BAD_STATUS = 22
WRITING = 23
READING = 26
TIMED_OUT = 28
NO_TLS = 35
TOO_MANY_REDIRECTS = 47
SENDING = 55
RECEIVING = 56
NOT_TRUSTED = 60
BAD_CODING = 61
INTERRUPTED = 130  # 128 + SIGINT, as shells say it
NO_READER = 141  # 128 + SIGPIPE

MEANINGS = {
    0: "there was a response (whatever its status, without --fail)",
    FAILED: "any other failure",
    USAGE: "wrong options, or a request that HTTP does not allow",
    BAD_URL: "the URL is not valid",
    NO_NAME: "the host's name has no address",
    NO_CONNECTION: "no connection could be opened",
    NOT_HTTP: "the server's answer is not HTTP, or breaks off",
    BAD_STATUS: "the status is 400 or more, with --fail",
    WRITING: "a local file, or standard output, cannot be written",
    READING: "a local file cannot be read",
    TIMED_OUT: "something took too long",
    NO_TLS: "the TLS handshake failed",
    TOO_MANY_REDIRECTS: "too many redirects",
    SENDING: "the connection broke while the request was sent",
    RECEIVING: "the connection broke while the response was read",
    NOT_TRUSTED: "the server's certificate is not trusted",
    BAD_CODING: "the content does not decode as Content-Encoding says",
    INTERRUPTED: "Ctrl-C",
    NO_READER: "the pipe that was written to is closed (quietly)",
}

# The first that fits counts: kinds of an error stand before it.
_CODES: list[tuple[type[HTTPError], int]] = [
    (InvalidURL, BAD_URL),
    (TimeoutException, TIMED_OUT),
    (NameResolutionError, NO_NAME),
    (TLSError, NO_TLS),
    (ConnectError, NO_CONNECTION),
    (WriteError, SENDING),
    (ReadError, RECEIVING),
    (LocalProtocolError, USAGE),
    (RemoteProtocolError, NOT_HTTP),
    (TooManyRedirects, TOO_MANY_REDIRECTS),
    (DecodingError, BAD_CODING),
]


class CommandError(Exception):
    """The command cannot go on, for a reason outside HTTP; carries the exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def code_for(error: HTTPError) -> int:
    """Return the exit code for an error of the library.

    >>> from hither import NameResolutionError, TotalTimeout
    >>> code_for(NameResolutionError()), code_for(TotalTimeout())
    (6, 28)
    """
    if isinstance(error, TLSError):
        from ssl import SSLCertVerificationError

        if isinstance(error.__cause__, SSLCertVerificationError):
            return NOT_TRUSTED
    return next((code for kind, code in _CODES if isinstance(error, kind)), FAILED)
