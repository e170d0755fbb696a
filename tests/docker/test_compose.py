"""Compose, Prometheus and the manifests: names, ports, paths and options that must fit together."""

from __future__ import annotations

import re

import pytest
import yaml
from distributed.cli import dask_scheduler, dask_worker
from image_files import DOCKER, DOCKERFILE, ROOT, command_lines, compose, manifests
from typer.main import get_command

from pipeline.cli.app import app

SERVICES = compose()["services"]
OURS = {name: s for name, s in SERVICES.items() if s["image"].startswith("pipeline:")}
# `dask cuda worker --help` of dask-cuda, which has no CPU build to ask here.
CUDA_OPTIONS = {
    "--name", "--rmm-async", "--enable-cudf-spill", "--dashboard-address", "--local-directory",
}  # fmt: skip


def test_each_profile_is_a_whole_cluster():
    for profile in ("cpu", "gpu"):
        found = {name for name, s in SERVICES.items() if profile in s["profiles"]}
        ours = {f"{role}-{profile}" for role in ("scheduler", "worker", "pipeline")}
        assert found == ours | {"prometheus", "grafana"}
        for name in ours:
            assert SERVICES[name]["image"] == f"pipeline:{profile}"
            assert SERVICES[name]["build"]["args"]["VARIANT"] == profile
            assert set(SERVICES[name].get("depends_on", {})) <= ours


def test_gpu_services_ask_for_gpus_and_the_others_do_not():
    for name, service in SERVICES.items():
        wanted = service.get("deploy", {}).get("resources", {}).get("reservations", {})
        devices = wanted.get("devices", [])
        assert bool(devices) == name.endswith("-gpu"), name
        assert all(d["capabilities"] == ["gpu"] and d["driver"] == "nvidia" for d in devices)


def test_workers_have_shared_memory():
    for profile in ("cpu", "gpu"):
        assert SERVICES[f"worker-{profile}"]["shm_size"] == "2gb"


def test_our_processes_are_not_root_and_others_are_pinned():
    for name, service in SERVICES.items():
        if name in OURS:
            assert service["user"] == "1000:1000"
            assert service["init"] is True
        else:
            assert re.search(r":v?\d+\.\d+\.\d+$", service["image"]), name


def test_ports_are_published_on_the_loopback_alone():
    published = [p for s in SERVICES.values() for p in s.get("ports", [])]
    assert len(published) == 4
    assert all(p.startswith("127.0.0.1:") for p in published)


def test_mounted_files_are_there():
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source, target = volume.split(":")[:2]
            if source.startswith("."):
                assert (DOCKER / source).exists(), source
            else:
                assert source in compose()["volumes"]
            assert target.startswith("/")
    assert (DOCKER / OURS["worker-cpu"]["build"]["context"]).resolve() == ROOT


def test_prometheus_asks_the_aliases_at_the_ports_of_the_commands():
    jobs = yaml.safe_load((DOCKER / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
    for job in jobs:
        (found,) = job["dns_sd_configs"]
        (alias,) = found["names"]
        assert job["job_name"] == ("pipeline" if alias == "pipeline" else f"dask-{alias}")
        named = [s for s in OURS.values() if alias in aliases(s)]
        assert len(named) == 2  # one per profile
        assert all(f":{found['port']}" in " ".join(s["command"]) for s in named)
        assert str(found["port"]) in DOCKERFILE.split("EXPOSE ")[1].split("\n")[0]


def aliases(service):
    return service.get("networks", {}).get("default", {}).get("aliases", [])


def test_grafana_finds_the_source_that_the_dashboard_names():
    folder = DOCKER / "grafana" / "provisioning"
    source = yaml.safe_load((folder / "datasources/prometheus.yaml").read_text(encoding="utf-8"))
    (only,) = source["datasources"]
    assert only["url"] == "http://prometheus:9090"
    dashboards = yaml.safe_load((folder / "dashboards/pipeline.yaml").read_text(encoding="utf-8"))
    (provider,) = dashboards["providers"]
    targets = [v.split(":")[1] for v in SERVICES["grafana"]["volumes"]]
    assert provider["options"]["path"] in targets
    assert only["uid"] == "prometheus"


@pytest.mark.parametrize("where", command_lines())
def test_every_command_line_is_one_the_image_understands(where):
    arguments = [str(a) for a in command_lines()[where]]
    if arguments[:3] == ["dask", "cuda", "worker"]:
        options = {a.partition("=")[0] for a in arguments if a.startswith("--")}
        assert options <= CUDA_OPTIONS
    elif arguments[0] == "dask":
        main = {"scheduler": dask_scheduler.main, "worker": dask_worker.main}[arguments[1]]
        main.make_context(arguments[1], arguments[2:])
    else:
        group = get_command(app)
        context = group.make_context("pipeline", list(arguments), resilient_parsing=True)
        command = group.get_command(context, arguments[0])
        parsed = command.make_context(arguments[0], arguments[1:], resilient_parsing=False)
        assert (ROOT / parsed.params["config"]).is_file()


def test_a_wrong_option_is_found():
    with pytest.raises(Exception, match="no-such"):
        dask_worker.main.make_context("worker", ["tcp://a:1", "--no-such"])


def test_manifests_mount_what_they_claim_and_never_run_as_root():
    claims = {m["metadata"]["name"] for m in manifests().values() if m["kind"].endswith("Claim")}
    for name, manifest in manifests().items():
        for pod in pods(manifest):
            assert pod["securityContext"]["runAsNonRoot"] is True, name
            given = {v["name"]: v for v in pod.get("volumes", [])}
            for volume in given.values():
                claim = volume.get("persistentVolumeClaim", {}).get("claimName")
                assert claim is None or claim in claims
            (container,) = pod["containers"]
            mounted = {m["name"] for m in container.get("volumeMounts", [])}
            assert mounted == set(given)
            assert re.fullmatch(r"REGISTRY/pipeline:(cpu|gpu)", container["image"])


def pods(node):
    if not isinstance(node, dict):
        return []
    own = [node] if "containers" in node else []
    return own + [p for value in node.values() for p in pods(value)]


def test_a_job_names_its_own_scheduler():
    for profile in ("cpu", "gpu"):
        job = manifests()[f"cluster-{profile}.yaml"]
        scheduler = job["spec"]["cluster"]["spec"]["scheduler"]
        selector = scheduler["service"]["selector"]
        assert selector["dask.org/cluster-name"] == job["metadata"]["name"]
        wanted = f"cluster.workers={job['spec']['cluster']['spec']['worker']['replicas']}"
        assert wanted in job["spec"]["job"]["spec"]["containers"][0]["args"]
