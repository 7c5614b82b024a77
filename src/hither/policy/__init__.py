"""Decisions on plain values: redirects, authentication, cookies. None of them does I/O."""
