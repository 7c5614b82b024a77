"""Servers for the tests: one that misbehaves as told, one that behaves, and two that nobody here wrote."""
