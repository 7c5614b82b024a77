from __future__ import annotations

import httpx

from ._httpx_family import classes

Sync, Async = classes(httpx)
