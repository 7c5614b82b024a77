from __future__ import annotations

import httpx2

from ._httpx_family import classes

Sync, Async, SyncHTTP2, AsyncHTTP2 = classes(httpx2)
