"""What the examination asks of a machine: the real one is `ThisHost`, tests have fakes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Protocol

from pipeline.device.probe import Gpu, NoDriver, Probe, opened_nvml, probe
from pipeline.device.self_test import prove_one, prove_together
from pipeline.doctor.health import Health, read_health
from pipeline.doctor.limits import Limits, read_limits


class Host(Protocol):
    """A machine with its GPUs, limits and installed packages."""

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment's variables."""

    def probe(self) -> Probe:
        """The GPUs that a run could use, or why there is none."""

    def health(self) -> Health:
        """The state of all GPUs; empty where the driver does not answer."""

    def compute(self, gpu: Gpu) -> str | None:
        """Each library in turn computes on the GPU: None, or what failed."""

    def add_up(self, gpus: Sequence[Gpu]) -> str | None:
        """NCCL adds over the GPUs: None, or what failed."""

    def installed(self, name: str) -> str | None:
        """The version of an installed distribution."""

    def requirements(self, name: str) -> Sequence[str]:
        """What an installed distribution requires (PEP 508)."""

    def limits(self) -> Limits:
        """What the container, or the session, may use."""


class ThisHost:
    """This machine."""

    @property
    def environ(self) -> Mapping[str, str]:
        """As `Host.environ`."""
        return os.environ

    def probe(self) -> Probe:
        """As `Host.probe`."""
        return probe()

    def health(self) -> Health:
        """As `Host.health`: `probe` says why a driver does not answer."""
        try:
            with opened_nvml() as nvml:
                return read_health(nvml)
        except NoDriver:
            return Health()

    def compute(self, gpu: Gpu) -> str | None:
        """As `Host.compute`, within `proof.SECONDS`."""
        return prove_one(gpu.uuid)

    def add_up(self, gpus: Sequence[Gpu]) -> str | None:
        """As `Host.add_up`, within `proof.SECONDS`."""
        return prove_together([gpu.uuid for gpu in gpus])

    def installed(self, name: str) -> str | None:
        """As `Host.installed`."""
        try:
            return version(name)
        except PackageNotFoundError:
            return None

    def requirements(self, name: str) -> Sequence[str]:
        """As `Host.requirements`; none where it is not installed."""
        try:
            return requires(name) or []
        except PackageNotFoundError:
            return []

    def limits(self) -> Limits:
        """As `Host.limits`."""
        return read_limits()
