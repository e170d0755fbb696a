"""What the examination asks of a machine: the real one is `ThisHost`, tests have fakes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Protocol

from pipeline.device.probe import Gpu, NoDriver, Probe, open_nvml, probe_gpus
from pipeline.device.self_test import check_libraries, check_nccl
from pipeline.doctor.health import Health, read_health
from pipeline.doctor.limits import Limits, read_limits


class Host(Protocol):
    """A machine with its GPUs, limits and installed packages."""

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment's variables."""

    def probe(self) -> Probe:
        """The GPUs that a run could use, or why there is none."""

    def read_health(self) -> Health:
        """The state of all GPUs; empty where the driver does not answer."""

    def try_gpu(self, gpu: Gpu) -> str | None:
        """Each library in turn computes on the GPU: None, or what failed."""

    def try_nccl(self, gpus: Sequence[Gpu]) -> str | None:
        """NCCL adds over the GPUs: None, or what failed."""

    def find_version(self, name: str) -> str | None:
        """The version of an installed distribution."""

    def list_requirements(self, name: str) -> Sequence[str]:
        """What an installed distribution requires (PEP 508)."""

    def read_limits(self) -> Limits:
        """What the container, or the session, may use."""


class ThisHost:
    """This machine."""

    @property
    def environ(self) -> Mapping[str, str]:
        """As `Host.environ`."""
        return os.environ

    def probe(self) -> Probe:
        """As `Host.probe`."""
        return probe_gpus()

    def read_health(self) -> Health:
        """As `Host.read_health`: `probe` says why a driver does not answer."""
        try:
            with open_nvml() as nvml:
                return read_health(nvml)
        except NoDriver:
            return Health()

    def try_gpu(self, gpu: Gpu) -> str | None:
        """As `Host.try_gpu`, within `proof.SECONDS`."""
        return check_libraries(gpu.uuid)

    def try_nccl(self, gpus: Sequence[Gpu]) -> str | None:
        """As `Host.try_nccl`, within `proof.SECONDS`."""
        return check_nccl([gpu.uuid for gpu in gpus])

    def find_version(self, name: str) -> str | None:
        """As `Host.find_version`."""
        try:
            return version(name)
        except PackageNotFoundError:
            return None

    def list_requirements(self, name: str) -> Sequence[str]:
        """As `Host.list_requirements`; none where it is not installed."""
        try:
            return requires(name) or []
        except PackageNotFoundError:
            return []

    def read_limits(self) -> Limits:
        """As `Host.read_limits`."""
        return read_limits()
