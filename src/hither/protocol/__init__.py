"""Sans-I/O state machines: bytes in, events out."""
