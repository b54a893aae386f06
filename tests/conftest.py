from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# Examples are the same on every run: a red suite is then red for everybody.
settings.register_profile(
    "upqa", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile("upqa")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The end-to-end path first: it is the longest file, and another worker does the rest meanwhile."""
    items.sort(key=lambda item: item.path.name != "test_end_to_end.py")
