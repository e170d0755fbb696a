"""The cases of the contract suite serve here too; the GPU's own modules on stand-ins."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

import columns
import pytest

from pipeline.device import gpu as package

sys.path.insert(0, str(Path(__file__).parents[1] / "contract"))

OWN = ("frames", "lookup", "transfer_bytes", "reading")


@pytest.fixture
def gpu(monkeypatch):
    """`pipeline.device.gpu.frames`, imported on the stand-ins."""
    for name, module in columns.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    memory = ModuleType("pipeline.device.gpu.memory")
    memory.take_peak, memory.set_up = lambda: 0, lambda: None
    monkeypatch.setitem(sys.modules, memory.__name__, memory)
    monkeypatch.setattr(package, "memory", memory, raising=False)
    for name in OWN:
        monkeypatch.delitem(sys.modules, f"pipeline.device.gpu.{name}", raising=False)
        monkeypatch.delattr(package, name, raising=False)
    yield importlib.import_module("pipeline.device.gpu.frames")
    for name in OWN:  # those of another test, or of RAPIDS, are not these
        sys.modules.pop(f"pipeline.device.gpu.{name}", None)
        vars(package).pop(name, None)
