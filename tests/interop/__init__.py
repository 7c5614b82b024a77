"""Drivers that point third-party conformance runs at this client; none of them is a test by itself."""
