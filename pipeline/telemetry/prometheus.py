"""``/metrics`` for Prometheus: where a run's gauges are answered while it lasts.

Dask answers with prometheus_client's default registry, in the process of the scheduler and on the
dashboard's port. A run whose scheduler is here is registered there; with a scheduler elsewhere this
process answers too, on a port of its own (``cluster.metrics_address``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from pipeline.cluster import client as clients
from pipeline.cluster import task_events
from pipeline.config.model import Cluster
from pipeline.telemetry.gauges import Progress, gpu_metrics
from pipeline.telemetry.nvml_usage import UsageSampler


class RunCollector:
    """Prometheus' collector of the runs of this process: one, as a metric may be told only once."""

    def __init__(self) -> None:
        self.runs: list[tuple[Progress, UsageSampler]] = []

    def describe(self) -> Sequence[Any]:
        """Nothing: what is told depends on the run."""
        return ()

    def collect(self) -> Iterator[Any]:
        """The metrics of all runs, as families of prometheus_client."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        families: dict[str, Any] = {}
        for run, gpus in list(self.runs):
            for name, about, samples in (*run.samples(), *gpu_metrics(gpus())):
                if name not in families:
                    kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
                    families[name] = kind(f"pipeline_{name}", about)
                for labels, value in samples:
                    families[name].add_sample(f"pipeline_{name}", {"run": run.run, **labels}, value)
        yield from families.values()

    @contextmanager
    def telling(self, run: Progress, gpus: UsageSampler) -> Iterator[None]:
        """The run is told of while the block runs."""
        from prometheus_client import REGISTRY

        if not self.runs:
            REGISTRY.register(self)
        self.runs.append((run, gpus))
        try:
            yield
        finally:
            self.runs.remove((run, gpus))
            if not self.runs:
                REGISTRY.unregister(self)


_registered = RunCollector()


@contextmanager
def serve_metrics(
    run: Progress, client: Any, cluster: Cluster, gpus: UsageSampler
) -> Iterator[Mapping[str, str]]:
    """``/metrics`` tells of the run, and of its GPUs, while the block runs.

    Yields:
        The addresses to look at: ``dashboard``, ``metrics``, and, where the scheduler's metrics are
        elsewhere, ``Dask's metrics``. Nothing with ``cluster.dashboard: false``: nothing listens.
    """
    if not cluster.dashboard:
        yield {}
        return
    pages = dict(clients.monitoring_urls(client, cluster))
    with ExitStack() as stack:
        stack.enter_context(_registered.telling(run, gpus))
        stack.enter_context(task_events.subscribe(client, run.partition))
        if cluster.is_address:
            dasks = pages.pop("metrics", None)
            pages["metrics"] = stack.enter_context(_answering(cluster))
            pages |= {} if dasks is None else {"Dask's metrics": dasks}
        yield pages


@contextmanager
def _answering(cluster: Cluster) -> Iterator[str]:
    """An HTTP server of this process; its address."""
    from prometheus_client import start_http_server

    address = clients.find_free_address(cluster.metrics_address, "metrics")
    host, _, port = address.rpartition(":")
    server, thread = start_http_server(int(port), host)
    try:
        yield f"http://{host}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
