"""Scores as pure functions of verdicts; docs/protocol.md defines each of them."""

PROTOCOL_VERSION = 2
"""Version of docs/protocol.md; results of two versions never stand in one table."""
