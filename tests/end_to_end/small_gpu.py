"""A GPU that is not there: the CPU's functions, within a budget of bytes.

What frames and matrices take is counted while they live; what does not fit raises what RMM, cuML and
XGBoost raise. Nothing else of a GPU is pretended.
"""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from types import ModuleType, SimpleNamespace

import treelite
import xgboost
from sklearn.ensemble import RandomForestClassifier

from pipeline.device import choose, cpu, gpu
from pipeline.device.choose import DeviceChoice
from pipeline.device.gpu.errors import translate_error
from pipeline.device.probe import Gpu
from pipeline.execution import job
from pipeline.train.xgboost import quantile_matrix

GIB = 2**30
GPU = Gpu(0, "GPU-0", "a small GPU", 140 * GIB, 139 * GIB, (9, 0))
RMM = (
    "std::bad_alloc: out_of_memory: RMM failure at: /include/rmm/mr/limiting_resource_adaptor.hpp:152: "
    "Exceeded memory limit (failed to allocate {size} B)"
)
XGBOOST = (
    "[15:04:27] /workspace/src/common/device_vector.cu:23: Memory allocation error on worker 0: "
    "std::bad_alloc: cudaErrorMemoryAllocation: out of memory\n- Free memory: 1MB\n"
    "- Requested memory: {size}B\n\nStack trace:\n  [bt] (0) libxgboost.so(+0x2f4)"
)


class Budget:
    """Bytes that live on the device, and how many there may be."""

    def __init__(self, limit=None):
        self.limit, self.live, self.peak = limit, 0, 0
        self._lock = threading.RLock()

    def take(self, owner, size, full):
        """Counts ``size`` bytes as long as ``owner`` lives; raises ``full()`` if they do not fit."""
        # not under the lock: what is collected may wait for locks of Dask's, whose owners wait for it
        if not self._taken(size):
            gc.collect()
            if not self._taken(size):
                raise full()
        weakref.finalize(owner, self._give, size)
        return owner

    def _taken(self, size):
        with self._lock:
            if self.limit is not None and self.live + size > self.limit:
                return False
            self.live += size
            self.peak = max(self.peak, self.live)
            return True

    def _give(self, size):
        with self._lock:
            self.live -= size


def small_gpu(monkeypatch, limit=None):
    """Installs it as the device ``gpu``; returns its `Budget`."""
    budget = Budget(limit)

    def counted(function):
        def made(*arguments, **options):
            value = function(*arguments, **options)
            if any(value is a for a in arguments):
                value = value.copy()
            usage = getattr(value, "memory_usage", None)
            size = value.nbytes if usage is None else usage(index=True)
            size = int(size if isinstance(size, int) else getattr(size, "sum", lambda: size)())
            return budget.take(value, size, lambda: MemoryError(RMM.format(size=size)))

        return made

    module = ModuleType("pipeline.device.gpu.frames")
    vars(module).update({k: v for k, v in vars(cpu).items() if not k.startswith("__")})
    for name in ("pack_integers", "to_matrix", "to_device", "to_floats"):
        setattr(module, name, counted(getattr(cpu, name)))
    module.translate_error = translate_error
    memory = SimpleNamespace(set_up=lambda: None, set_limit=lambda limit: None)
    models = SimpleNamespace(make_forest=lambda task, **options: Forest(budget, **options))
    for name, found in {"frames": module, "memory": memory, "models": models}.items():
        monkeypatch.setitem(sys.modules, f"pipeline.device.gpu.{name}", found)
        # `from pipeline.device.gpu import …` finds a module here first, if a test has imported it
        monkeypatch.setattr(gpu, name, found, raising=False)
    monkeypatch.setattr(
        job, "choose_device", lambda asked: DeviceChoice(asked, "gpu", "pretended", (GPU,))
    )

    def quantised(*arguments, **options):
        made = xgboost.QuantileDMatrix(*arguments, **options)
        size = made.num_row() * made.num_col()
        error = xgboost.core.XGBoostError(XGBOOST.format(size=size))
        return budget.take(made, size, lambda: error)

    learner = ModuleType("xgboost")
    vars(learner).update(vars(xgboost))
    learner.QuantileDMatrix = quantised
    monkeypatch.setattr(quantile_matrix, "xgb", learner)
    choose.frames_of.cache_clear()
    return budget


class Forest(RandomForestClassifier):
    """cuML's place: twice the matrix is needed while it trains."""

    def __init__(self, budget=None, n_bins=128, **options):
        super().__init__(**options)
        self.budget, self.n_bins = budget, n_bins

    def fit(self, x, *arguments, **options):
        copy = x.copy()
        size = 2 * x.nbytes
        self.budget.take(copy, size, lambda: MemoryError(RMM.format(size=size)))
        return super().fit(copy, *arguments, **options)

    def as_treelite(self):
        return treelite.sklearn.import_model(self)
