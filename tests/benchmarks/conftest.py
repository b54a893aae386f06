"""Tiny random models and the small dataset of the engine's tests, for the benchmarks' own."""

from tests.editing.conftest import checkpoint, make_lm, release

__all__ = ["checkpoint", "make_lm", "release"]
