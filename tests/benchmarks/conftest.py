"""Tiny random models and the small dataset of the engine's tests, for the benchmarks' own."""

from tests.editing.conftest import make_lm, release

__all__ = ["make_lm", "release"]
