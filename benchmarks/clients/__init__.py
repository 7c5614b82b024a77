"""One module for each library, all with the same two small classes, or four.

`Sync(authority, connections)` has `get(url) -> bytes` (the body, decoded), `download(url) -> int` (bytes, not
kept), `upload(url, path) -> bytes` (a file as the body, streamed), `multipart(url, path) -> bytes` and `close()`;
`Async` has the same as coroutines; `SyncHTTP2` and `AsyncHTTP2` are what the two become for HTTP/2. `authority` is the
file of the certificate authority, None for the system's; `connections` how many requests are in flight at once.
A class or method that a library cannot have is not there.
Each is set up as its documentation says: one client for all requests, cookies and redirects on.
"""
