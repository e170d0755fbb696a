"""The GPUs of a run, wherever its workers are: sampled into its time line while it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import Any
from uuid import uuid4

from pipeline.config.model import Cluster
from pipeline.device.probe import VISIBLE, probe_gpus
from pipeline.telemetry.gpu_timeline import Timeline
from pipeline.telemetry.nvml_usage import GpuUsage, open_sampler

FAR_SECONDS = 5.0
"""Between two samples at a scheduler's address: each asks for what all workers last told."""


@contextmanager
def record_gpus(client: Any, cluster: Cluster, device: str, timeline: Timeline) -> Iterator[None]:
    """The run's GPUs are sampled while the block runs; on the CPU nothing happens.

    GPUs of this host are asked of NVML here. Workers elsewhere add their GPU's usage to what they
    tell the scheduler with each heartbeat.
    """
    if device != "gpu":
        yield
    elif cluster.is_address:
        with _told(client) as metric:
            identity = client.scheduler.identity  # not `scheduler_info`: heartbeats overwrite it

            def sample() -> list[GpuUsage]:
                return worker_usages(client.sync(identity, n_workers=-1)["workers"], metric)

            with timeline.sampled(sample, FAR_SECONDS):
                yield
    else:
        chosen = ",".join(cluster.gpus.devices)
        found = probe_gpus(environ={VISIBLE: chosen}) if chosen else probe_gpus()
        with open_sampler(found.gpus) as here, timeline.sampled(here):
            yield


@contextmanager
def _told(client: Any) -> Iterator[str]:
    """The workers tell of their GPUs under this name, which no other run uses."""
    metric = f"pipeline-gpu-{uuid4().hex}"
    client.register_plugin(_telling(metric))
    try:
        yield metric
    finally:
        if client.status == "running":
            client.unregister_worker_plugin(metric)


def _telling(metric: str) -> Any:
    """A plugin: a worker tells its GPU's usage with its heartbeat."""
    from distributed.diagnostics.plugin import WorkerPlugin  # imports RMM where it is installed

    class TellGpu(WorkerPlugin):  # type: ignore[misc]  # distributed is not typed
        name = metric

        def setup(self, worker: Any) -> None:
            self.open = ExitStack()
            # dask-cuda shows each worker its own GPU first
            sample = self.open.enter_context(open_sampler(probe_gpus().gpus[:1]))

            async def tell(_: Any) -> list[dict[str, Any]]:
                return [asdict(usage) for usage in await asyncio.to_thread(sample)]

            worker.metrics[metric] = tell

        def teardown(self, worker: Any) -> None:
            worker.metrics.pop(metric, None)
            self.open.close()

    return TellGpu()


def worker_usages(workers: Mapping[str, Any], metric: str) -> list[GpuUsage]:
    """What the workers, as the scheduler knows them, last told of their GPUs."""
    return [
        GpuUsage(**{**told, "gpu": address})
        for address, facts in sorted(workers.items())
        for told in facts["metrics"].get(metric, ())
    ]
