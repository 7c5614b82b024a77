"""The pumps: they move bytes between a protocol and a stream."""
