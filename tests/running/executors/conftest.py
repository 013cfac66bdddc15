"""A stand-in for Ray."""

import sys
import types

import pytest

from vaebench.running.executors import ray_head


@pytest.fixture
def fake_ray(monkeypatch):
    """In the place of Ray: `init` alone, which keeps what it is given."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    settings = {}
    module = types.SimpleNamespace(
        is_initialized=lambda: False, init=lambda **more: settings.update(more), settings=settings
    )
    monkeypatch.setitem(sys.modules, "ray", module)
    monkeypatch.setattr(ray_head, "_started_last", lambda: "")
    return module
