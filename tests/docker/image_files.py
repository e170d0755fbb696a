"""What the tests of `docker/` read: its files, and the variables of Compose put in."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
DOCKERFILE = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
DASHBOARD = DOCKER / "grafana" / "dashboards" / "pipeline.json"
KUBERNETES = sorted((DOCKER / "kubernetes").glob("*.yaml"))


def compose() -> dict[str, Any]:
    """compose.yaml as Docker Compose sees it where no variable is set."""
    text = (DOCKER / "compose.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text))


def expressions() -> list[tuple[str, str]]:
    """PromQL and legend of each query of the dashboard."""
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return [(q["expr"], q["legendFormat"]) for p in panels for q in p["targets"]]


def manifests() -> dict[str, dict[str, Any]]:
    """The Kubernetes manifests by file name; each file holds one."""
    return {p.name: yaml.safe_load(p.read_text(encoding="utf-8")) for p in KUBERNETES}


def command_lines() -> dict[str, list[str]]:
    """What compose.yaml and the manifests have the image run, by where it stands."""
    found = {
        f"compose {name}": s["command"]
        for name, s in compose()["services"].items()
        if s["image"].startswith("pipeline:")
    }
    for name, manifest in manifests().items():
        if manifest["kind"] == "PersistentVolumeClaim":
            continue
        for container in _containers(manifest):
            found[f"{name} {container['name']}"] = container["args"]
    return found


def _containers(node: Any) -> list[dict[str, Any]]:
    if isinstance(node, list):
        return [c for item in node for c in _containers(item)]
    if not isinstance(node, dict):
        return []
    return [*node.get("containers", []), *(c for v in node.values() for c in _containers(v))]
