"""``/metrics`` for Prometheus: the server of a run's gauges while the run lasts.

Dask serves prometheus_client's default registry, in the process of the scheduler and on the
dashboard's port. A run with a scheduler in this process is registered there. With a scheduler
elsewhere this process has a server of its own (``cluster.metrics_address``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from pipeline.cluster import client as clients
from pipeline.config.cluster import Cluster
from pipeline.telemetry.gauges import RunGauges, gpu_metrics
from pipeline.telemetry.nvml_usage import UsageSampler

if TYPE_CHECKING:
    from distributed import Client
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily


class RunCollector:
    """A Prometheus collector of all runs of this process: a metric may be collected only once."""

    def __init__(self) -> None:
        self.runs: list[tuple[RunGauges, UsageSampler]] = []

    def describe(self) -> Sequence[CounterMetricFamily | GaugeMetricFamily]:
        """Return nothing: the metrics depend on the run."""
        return ()

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Yield the metrics of all runs, as families of prometheus_client."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for run, gpus in list(self.runs):
            for name, about, samples in (*run.collect(), *gpu_metrics(gpus())):
                if name not in families:
                    kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
                    families[name] = kind(f"pipeline_{name}", about)
                for labels, value in samples:
                    families[name].add_sample(f"pipeline_{name}", {"run": run.run, **labels}, value)
        yield from families.values()

    @contextmanager
    def register(self, run: RunGauges, gpus: UsageSampler) -> Iterator[None]:
        """Collect the metrics of a run while the block runs."""
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


_collector = RunCollector()


@contextmanager
def serve_metrics(
    run: RunGauges, client: Client, cluster: Cluster, gpus: UsageSampler
) -> Iterator[Mapping[str, str]]:
    """Serve the metrics of the run and of its GPUs while the block runs.

    Yields:
        The URLs of ``dashboard`` and ``metrics``, and of ``Dask's metrics`` if the scheduler is
        elsewhere. Empty with ``cluster.dashboard: false``: then nothing listens.
    """
    if not cluster.dashboard:
        yield {}
        return
    pages = dict(clients.monitoring_urls(client, cluster))
    with ExitStack() as stack:
        stack.enter_context(_collector.register(run, gpus))
        if cluster.is_address:
            # the scheduler cannot collect this process's gauges: serve them here as well
            dasks = pages.pop("metrics", None)
            pages["metrics"] = stack.enter_context(_serve_here(cluster))
            pages |= {} if dasks is None else {"Dask's metrics": dasks}
        yield pages


@contextmanager
def _serve_here(cluster: Cluster) -> Iterator[str]:
    """Run an HTTP server in this process; yield its URL."""
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
