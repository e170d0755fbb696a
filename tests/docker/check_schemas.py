"""Validates compose.yaml, the manifests and the queries of a `docker` folder; see test_schemas.py.

    python check_schemas.py FOLDER

Each kind is checked twice: as it is, and with a mistake put in that the schema must find.
"""

import copy
import sys
from importlib.util import find_spec
from pathlib import Path

import compose_spec
import jsonschema
import kubernetes_validate
import promql_parser
import yaml
from image_files import compose, expressions, manifests

KUBERNETES = "1.37"
CORE = ("v1", "batch/v1")


def main() -> None:
    check(
        "compose.yaml", services, compose(), lambda d: d["services"]["worker-cpu"].update(comand=1)
    )
    definitions = custom_resources()
    for name, manifest in manifests().items():
        if manifest["apiVersion"] in CORE:
            check(name, core, manifest, lambda d: d["spec"].update(replicaz=1))
        else:
            schema = definitions[manifest["kind"]]
            check(name, lambda d, s=schema: jsonschema.validate(d, s), manifest, break_custom)
            for where, pod in pods(manifest).items():
                check(f"{name} {where}", core, pod, lambda d: d["spec"].update(volumez=1))
    for expression, _ in expressions():
        check(expression, promql_parser.parse, expression, None)
        fails(expression, promql_parser.parse, expression + ")")


def check(name, validate, document, damage) -> None:
    """Raises when the document is not valid, or is when damaged."""
    validate(document)
    if damage is not None:
        broken = copy.deepcopy(document)
        damage(broken)
        fails(name, validate, broken)
    sys.stdout.write(f"valid: {name}\n")


def fails(name, validate, document) -> None:
    try:
        validate(document)
    except Exception:
        return
    raise SystemExit(f"{name}: a mistake was not found")


def services(document) -> None:
    parsed = compose_spec.PyCompose.from_yaml(yaml.safe_dump(document))
    parsed.validate()
    parsed.to_spec()


def core(document) -> None:
    kubernetes_validate.validate(document, KUBERNETES, strict=True)


def custom_resources() -> dict:
    """Kind → the operator's schema, closed: the API server would drop unknown keys silently."""
    (root,) = find_spec("dask_kubernetes").submodule_search_locations
    folder = Path(root) / "operator/deployment/helm/dask-kubernetes-operator/crds"
    found = {}
    for path in folder.glob("*.yaml"):
        definition = yaml.safe_load(path.read_text(encoding="utf-8"))["spec"]
        schema = definition["versions"][0]["schema"]["openAPIV3Schema"]
        schema["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": {"type": "object"}}
        found[definition["names"]["kind"]] = closed(schema)
    return found


def closed(node):
    if isinstance(node, list):
        return [closed(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {key: closed(value) for key, value in node.items()}
    if isinstance(node.get("properties"), dict) and "type" not in node["properties"]:
        loose = node.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in node
        if not loose:
            made["additionalProperties"] = False
    return made


def break_custom(document) -> None:
    document["spec"]["cluster"]["spec"]["worker"]["replicas"] = "two"


def pods(manifest) -> dict:
    """The pods that the operator would make of a DaskJob."""
    job, cluster = manifest["spec"]["job"], manifest["spec"]["cluster"]["spec"]
    specs = {"job": job, "worker": cluster["worker"], "scheduler": cluster["scheduler"]}
    return {
        where: {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": where},
            "spec": copy.deepcopy(found["spec"]),
        }
        for where, found in specs.items()
    }


if __name__ == "__main__":
    main()
