"""Samples of the GPUs of a run, wherever its workers are, for its time line."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pipeline.config.cluster import Cluster
from pipeline.device.probe import VISIBLE, probe_gpus
from pipeline.telemetry.gpu_timeline import Timeline
from pipeline.telemetry.nvml_usage import GpuUsage, open_sampler

if TYPE_CHECKING:
    from distributed import Client, Worker
    from distributed.diagnostics.plugin import WorkerPlugin

FAR_SECONDS = 5.0
"""Seconds between two samples of a remote scheduler's workers: each reads their last heartbeats."""


@contextmanager
def record_gpus(
    client: Client, cluster: Cluster, device: str, timeline: Timeline
) -> Iterator[None]:
    """Sample the run's GPUs while the block runs; do nothing on the CPU.

    GPUs of this host are sampled here, through NVML. Workers elsewhere add their GPU's usage to
    their heartbeats to the scheduler.
    """
    if device != "gpu":
        yield
    elif cluster.is_address:
        with _report_from_workers(client) as metric:
            identity = client.scheduler.identity  # not `scheduler_info`: heartbeats overwrite it

            def sample() -> list[GpuUsage]:
                return worker_usages(client.sync(identity, n_workers=-1)["workers"], metric)

            with timeline.sample_in_background(sample, FAR_SECONDS):
                yield
    else:
        chosen = ",".join(cluster.gpus.devices)
        machine = probe_gpus(environ={VISIBLE: chosen}) if chosen else probe_gpus()
        with open_sampler(machine.gpus) as sampler, timeline.sample_in_background(sampler):
            yield


@contextmanager
def _report_from_workers(client: Client) -> Iterator[str]:
    """Let the workers report their GPUs under a metric that no other run uses; yield its name."""
    metric = f"pipeline-gpu-{uuid4().hex}"
    client.register_plugin(_make_report_plugin(metric))
    try:
        yield metric
    finally:
        if client.status == "running":  # a lost scheduler cannot unregister it
            client.unregister_worker_plugin(metric)


def _make_report_plugin(metric: str) -> WorkerPlugin:
    """Return a plugin with which a worker reports its GPU's usage in its heartbeats."""
    from distributed.diagnostics.plugin import WorkerPlugin  # imports RMM where it is installed

    class ReportGpu(WorkerPlugin):  # type: ignore[misc]  # distributed is not typed
        name = metric

        def setup(self, worker: Worker) -> None:
            self.open = ExitStack()
            # dask-cuda shows each worker its own GPU first
            sample = self.open.enter_context(open_sampler(probe_gpus().gpus[:1]))

            async def report(_: Worker) -> list[dict[str, Any]]:
                return [asdict(usage) for usage in await asyncio.to_thread(sample)]

            worker.metrics[metric] = report

        def teardown(self, worker: Worker) -> None:
            worker.metrics.pop(metric, None)
            self.open.close()

    return ReportGpu()


def worker_usages(workers: Mapping[str, Any], metric: str) -> list[GpuUsage]:
    """Return the usage that each worker last reported, from the scheduler's identity."""
    return [
        GpuUsage(**{**usage, "gpu": address})
        for address, worker in sorted(workers.items())
        for usage in worker["metrics"].get(metric, ())
    ]
