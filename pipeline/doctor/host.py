"""The machine as the examination sees it: `ThisHost` is the real one, tests have fakes."""

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
        """Environment variables."""

    def probe(self) -> Probe:
        """Find the GPUs that a run could use, or the reason why there is none."""

    def read_health(self) -> Health:
        """Read the health of all GPUs; it is empty if the driver does not respond."""

    def try_gpu(self, gpu: Gpu) -> str | None:
        """Compute on the GPU with each library in turn; return what failed, or None."""

    def try_nccl(self, gpus: Sequence[Gpu]) -> str | None:
        """Sum over the GPUs with NCCL; return what failed, or None."""

    def find_version(self, name: str) -> str | None:
        """Return the version of a distribution; None if it is not installed."""

    def list_requirements(self, name: str) -> Sequence[str]:
        """List the requirements of an installed distribution (PEP 508)."""

    def read_limits(self) -> Limits:
        """Read the limits of the container and of the session."""


class ThisHost:
    """This machine; its methods are those of `Host`."""

    @property
    def environ(self) -> Mapping[str, str]:
        """Environment variables."""
        return os.environ

    def probe(self) -> Probe:
        """See `Host.probe`."""
        return probe_gpus()

    def read_health(self) -> Health:
        """See `Host.read_health`."""
        try:
            with open_nvml() as nvml:
                return read_health(nvml)
        except NoDriver:
            # The probe reports why there is no driver.
            return Health()

    def try_gpu(self, gpu: Gpu) -> str | None:
        """See `Host.try_gpu`; stops after `self_test.SECONDS`."""
        return check_libraries(gpu.uuid)

    def try_nccl(self, gpus: Sequence[Gpu]) -> str | None:
        """See `Host.try_nccl`; stops after `self_test.SECONDS`."""
        return check_nccl([gpu.uuid for gpu in gpus])

    def find_version(self, name: str) -> str | None:
        """See `Host.find_version`."""
        try:
            return version(name)
        except PackageNotFoundError:
            return None

    def list_requirements(self, name: str) -> Sequence[str]:
        """See `Host.list_requirements`; empty if it is not installed."""
        try:
            return requires(name) or []
        except PackageNotFoundError:
            return []

    def read_limits(self) -> Limits:
        """See `Host.read_limits`."""
        return read_limits()
