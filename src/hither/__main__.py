"""`python -m hither` is the `hither` command."""

from __future__ import annotations

import sys

from hither.cli import main

sys.exit(main())
