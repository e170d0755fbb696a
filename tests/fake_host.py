"""A machine to examine, with any GPUs, faults, packages and limits one likes."""

from dataclasses import dataclass, field

from fake_gpus import Fake

from pipeline.device.probe import probe_gpus
from pipeline.doctor.health import Health
from pipeline.doctor.limits import Limits

CPU_ONLY = {"pandas": "3.0.6", "scikit-learn": "1.9.1", "xgboost-cpu": "3.2.0", "dask": "2026.7.1",
            "distributed": "2026.7.1", "bokeh": "3.9.2", "treelite": "4.8.1"}  # fmt: skip
ON_GPU = {**CPU_ONLY, "xgboost-cu13": "3.2.0", "cudf-cu13": "26.10.2", "cuml-cu13": "26.10.0",
          "nvforest-cu13": "26.10.0", "cupy-cuda13x": "14.2.0", "dask-cuda": "26.10.0",
          "nvidia-nccl-cu13": "2.27.5"}  # fmt: skip
del ON_GPU["xgboost-cpu"]
NO_GPU = Fake(broken="no NVIDIA driver: NVML library not found")


@dataclass
class FakeHost:
    """Stands for `pipeline.doctor.host.ThisHost`."""

    hardware: Fake = field(default_factory=Fake)
    packages: dict = field(default_factory=lambda: ON_GPU)
    required: dict = field(default_factory=dict)
    conditions: Health = field(default_factory=Health)
    bounds: Limits = field(default_factory=Limits)
    environ: dict = field(default_factory=dict)
    broken: dict = field(default_factory=dict)
    """By UUID, what a computation on the GPU ends with."""
    apart: str | None = None
    """What NCCL ends with."""
    added_up: list = field(default_factory=list)

    def probe(self):
        return probe_gpus(self.hardware, self.environ)

    def read_health(self):
        return self.conditions

    def try_gpu(self, gpu):
        return self.broken.get(gpu.uuid)

    def try_nccl(self, gpus):
        self.added_up.append([gpu.uuid for gpu in gpus])
        return self.apart

    def find_version(self, name):
        return self.packages.get(name)

    def list_requirements(self, name):
        return self.required.get(name, [])

    def read_limits(self):
        return self.bounds
