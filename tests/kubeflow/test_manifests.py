"""The manifests: valid for Kubernetes, complete, and in agreement with the settings' defaults."""

from __future__ import annotations

import inspect
import pathlib
import re
import shutil
import subprocess
from typing import Any

import kubernetes_validate
import pytest
import yaml

from kubeflow import pipeline_root
from pipeline.beam_settings import WORKER_POOL
from pipeline.cluster_settings import ClusterSettings

MANIFESTS = pathlib.Path(__file__).parents[2] / "kubeflow" / "manifests"
BASE = MANIFESTS / "base"
OVERLAYS = sorted(path for path in (MANIFESTS / "overlays").iterdir() if path.is_dir())
KUBERNETES_VERSION = "1.31"
FLINK = MANIFESTS / "flink"
PREPARATION = "prepare-pipeline-root"


def _documents(path: pathlib.Path) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def _kustomization(folder: pathlib.Path) -> dict[str, Any]:
    [document] = _documents(folder / "kustomization.yaml")
    return document


def _resources(folder: pathlib.Path) -> list[dict[str, Any]]:
    """What a kustomization builds on, before patches."""
    found = []
    for name in _kustomization(folder).get("resources", []):
        path = (folder / name).resolve()
        found += _resources(path) if path.is_dir() else _documents(path)
    return found


def _find(kind: str, name: str) -> dict[str, Any]:
    [found] = [r for r in _resources(BASE) if (r["kind"], r["metadata"]["name"]) == (kind, name)]
    return found


@pytest.mark.parametrize(
    "resource", [*_resources(BASE), *_resources(FLINK)], ids=lambda r: f"{r['kind']}/{r['metadata']['name']}"
)
def test_every_resource_is_valid(resource: dict[str, Any]) -> None:
    kubernetes_validate.validate(resource, KUBERNETES_VERSION, strict=True)


def _built(folder: pathlib.Path) -> list[dict[str, Any]]:
    """What a cluster is given: resources with the patches applied."""
    builder = next((c for c in (["kustomize", "build"], ["kubectl", "kustomize"]) if shutil.which(c[0])), None)
    if builder is None:
        pytest.skip("neither kustomize nor kubectl is installed")
    done = subprocess.run([*builder, str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@pytest.mark.parametrize("folder", [BASE, FLINK, *OVERLAYS], ids=lambda folder: folder.name)
def test_what_is_built_is_valid(folder: pathlib.Path) -> None:
    built = _built(folder)
    assert built
    for resource in built:
        kubernetes_validate.validate(resource, KUBERNETES_VERSION, strict=True)


@pytest.mark.parametrize("folder", [BASE, *OVERLAYS], ids=lambda folder: folder.name)
def test_the_drift_watch_asks_a_store_that_is_there(folder: pathlib.Path) -> None:
    built = _built(folder)
    [watch] = [resource for resource in built if resource["metadata"]["name"] == "drift-watch"]
    host = {entry["name"]: entry.get("value") for entry in _containers(watch)[0]["env"]}["METADATA_STORE_HOST"]
    services = {resource["metadata"]["name"] for resource in built if resource["kind"] == "Service"}
    assert host in services or "." in host


@pytest.mark.parametrize("folder", [BASE, FLINK, *OVERLAYS], ids=lambda folder: folder.name)
def test_kustomizations_name_only_what_exists_and_all_of_it(folder: pathlib.Path) -> None:
    kustomization = _kustomization(folder)
    assert set(kustomization) <= {"apiVersion", "kind", "resources", "patches", "labels", "images"}
    named = {
        *kustomization["resources"],
        *(patch["path"] for patch in kustomization.get("patches", []) if "path" in patch),
    }
    for name in named:
        assert (folder / name).exists(), name
    assert {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"} == {
        n for n in named if n.endswith("yaml")
    }


@pytest.mark.parametrize("folder", OVERLAYS, ids=lambda folder: folder.name)
def test_patches_have_a_target_and_change_what_is_there(folder: pathlib.Path) -> None:
    resources = {(r["kind"], r["metadata"]["name"]): r for r in _resources(folder)}
    for patch in _kustomization(folder).get("patches", []):
        content = yaml.safe_load((folder / patch["path"]).read_text() if "path" in patch else patch["patch"])
        target = patch.get("target") or {"kind": content["kind"], "name": content["metadata"]["name"]}
        resource = resources[target["kind"], target["name"]]
        if isinstance(content, list):
            for operation in content:
                assert operation["op"] == "replace"
                place: Any = resource
                for step in operation["path"].strip("/").split("/"):
                    place = place[int(step)] if isinstance(place, list) else place[step]
        else:
            assert content["apiVersion"] == resource["apiVersion"]
            _assert_names_match(content.get("spec", {}), resource["spec"])


def _assert_names_match(patch: Any, resource: Any) -> None:
    """Lists of named things are merged by name: a name that is not there would add instead of change."""
    for key, value in patch.items():
        if isinstance(value, dict):
            _assert_names_match(value, resource[key])
        elif isinstance(value, list) and value and isinstance(value[0], dict) and key in ("containers", "env"):
            names = {item["name"]: item for item in resource[key]}
            for item in value:
                _assert_names_match(item, names[item["name"]])


def test_images_that_overlays_replace_are_used() -> None:
    used = {
        container["image"].partition(":")[0] for resource in _resources(BASE) for container in _containers(resource)
    }
    for folder in OVERLAYS:
        for image in _kustomization(folder).get("images", []):
            assert image["name"] in used


def _pod_spec(resource: dict[str, Any]) -> dict[str, Any]:
    template = resource.get("spec", {}).get("jobTemplate", resource).get("spec", {}).get("template", {})
    return template.get("spec", {})


def _containers(resource: dict[str, Any]) -> list[dict[str, Any]]:
    return _pod_spec(resource).get("containers", [])


@pytest.mark.parametrize(
    "resource",
    [r for r in [*_resources(BASE), *_resources(FLINK)] if _containers(r)],
    ids=lambda r: r["metadata"]["name"],
)
def test_pods_have_least_rights(resource: dict[str, Any]) -> None:
    security = _pod_spec(resource)["securityContext"]
    changes_owners = resource["metadata"]["name"] == PREPARATION
    assert security.get("runAsNonRoot", False) is not changes_owners
    assert (security["runAsUser"] == 0) is changes_owners
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in _containers(resource):
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {
            "drop": ["ALL"],
            **({"add": ["CHOWN", "FOWNER"]} if changes_owners else {}),
        }
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
        assert "memory" in container["resources"]["limits"]


def test_the_root_is_given_to_the_user_of_the_image() -> None:
    job = _find("Job", PREPARATION)
    image = (MANIFESTS.parent / "Dockerfile").read_text()
    [container], [volume] = _containers(job), ClusterSettings().volumes
    assert "USER 10001:10001" in image
    assert f"chown 10001:10001 {volume.mount_path} && chmod 2775 {volume.mount_path}" in container["command"][-1]
    assert container["volumeMounts"] == [{"name": volume.claim, "mountPath": volume.mount_path}]
    # chmod keeps the set-group-id bit without CAP_FSETID only for a member of the folder's group.
    assert _pod_spec(job)["securityContext"]["runAsGroup"] == 10001
    assert _pod_spec(job)["automountServiceAccountToken"] is False
    assert PREPARATION in inspect.getsource(pipeline_root)


def test_the_role_grants_no_wildcards() -> None:
    for rule in _find("Role", "object-detection-pipeline")["rules"]:
        assert not {"*"} & {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
        if "secrets" in rule["resources"]:
            assert rule["resourceNames"]


def test_defaults_of_the_settings_are_what_the_manifests_make() -> None:
    settings = ClusterSettings()
    store = settings.metadata_store
    assert _find("Service", store.host)["spec"]["ports"][0]["port"] == store.port
    assert _find("ServiceAccount", settings.service_account)
    assert all(_find("PersistentVolumeClaim", volume.claim) for volume in settings.volumes)
    variables = {entry["name"]: entry for entry in _containers(_find("StatefulSet", store.host))[0]["env"]}
    assert variables["MARIADB_DATABASE"]["value"] == store.database
    assert variables["MARIADB_PASSWORD"]["valueFrom"]["secretKeyRef"] == {
        "name": store.secret,
        "key": store.password_key,
    }
    assert variables["MARIADB_USER"]["valueFrom"]["secretKeyRef"] == {"name": store.secret, "key": store.user_key}


def test_the_store_lets_in_pods_with_the_label_that_steps_carry() -> None:
    policy = _find("NetworkPolicy", "metadata-store")["spec"]
    [rule] = policy["ingress"]
    assert rule["from"][0]["podSelector"]["matchLabels"] == {"app.kubernetes.io/part-of": "object-detection-pipeline"}
    watch = _find("CronJob", "drift-watch")["spec"]["jobTemplate"]["spec"]["template"]
    assert watch["metadata"]["labels"]["app.kubernetes.io/part-of"] == "object-detection-pipeline"


def _serving(folder: pathlib.Path) -> dict[tuple[str, str], dict[str, Any]]:
    """What is built, by kind and name; the name of a generated ConfigMap is without its hash."""
    return {(r["kind"], re.sub("(?<=^tf-serving-config)-.*", "", r["metadata"]["name"])): r for r in _built(folder)}


@pytest.mark.parametrize("folder", [BASE, *OVERLAYS], ids=lambda folder: folder.name)
def test_tf_serving_reads_files_that_are_mounted(folder: pathlib.Path) -> None:
    built = _serving(folder)
    [container] = _containers(built["Deployment", "detector-serving"])
    flags = dict(argument.removeprefix("--").split("=", 1) for argument in container["args"])
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/models", "/config"}
    for flag in ("batching_parameters_file", "monitoring_config_file"):
        place, name = flags[flag].rsplit("/", 1)
        assert place == "/config"
        assert name in built["ConfigMap", "tf-serving-config"]["data"]
    models = "model_config_file" if folder.name == "canary" else "model_base_path"
    assert flags[models].startswith("/models/")
    assert {"model_config_file", "model_base_path"} & flags.keys() == {models}


@pytest.mark.parametrize("folder", OVERLAYS, ids=lambda folder: folder.name)
def test_overlays_that_set_flags_keep_those_they_are_not_about(folder: pathlib.Path) -> None:
    [before] = _containers(_find("Deployment", "detector-serving"))
    [after] = _containers(_serving(folder)["Deployment", "detector-serving"])
    about = {
        "gpu": ("--batching_parameters_file",),
        "canary": ("--model_name", "--model_base_path"),
    }.get(folder.name, ())
    assert {flag for flag in before["args"] if not flag.startswith(about or "no flag")} <= set(after["args"])


@pytest.mark.parametrize("folder", [BASE, *OVERLAYS], ids=lambda folder: folder.name)
def test_serving_pods_come_and_go_without_a_failed_request(folder: pathlib.Path) -> None:
    built = _serving(folder)
    deployment = built["Deployment", "detector-serving"]
    pod = deployment["spec"]["template"]["spec"]
    [container] = pod["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        [port] = [action["port"] for action in container[probe].values() if isinstance(action, dict)]
        assert port in ports
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][-1])
    # The time for requests after the pause.
    assert pod["terminationGracePeriodSeconds"] >= pause + 30
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    for kind, name in (("Service", "detector-serving"), ("Service", "detector-serving-pods")):
        selected = built[kind, name]["spec"]
        assert selected["selector"].items() <= labels.items()
        assert {port["targetPort"] for port in selected["ports"]} <= ports.keys()
    assert built["Service", "detector-serving-pods"]["spec"]["clusterIP"] == "None"
    budget = built["PodDisruptionBudget", "detector-serving"]["spec"]
    assert budget["selector"]["matchLabels"].items() <= labels.items()
    for constraint in pod["topologySpreadConstraints"]:
        assert constraint["labelSelector"]["matchLabels"].items() <= labels.items()
    scaler = built.get(("HorizontalPodAutoscaler", "detector-serving"))
    # Both would set the number of pods.
    assert (scaler is None) is ("replicas" in deployment["spec"])
    replicas = deployment["spec"]["replicas"] if scaler is None else scaler["spec"]["minReplicas"]
    assert replicas > budget["maxUnavailable"]
    if scaler is not None:
        assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
        assert "cpu" in container["resources"]["requests"]


def test_models_are_asked_from_named_namespaces_alone() -> None:
    rules = _find("NetworkPolicy", "detector-serving")["spec"]["ingress"]
    [container] = _containers(_find("Deployment", "detector-serving"))
    ports = {port["containerPort"] for port in container["ports"]}
    for rule in rules:
        assert rule["from"]
        assert {port["port"] for port in rule["ports"]} <= ports
        # An empty selector of namespaces lets everybody in.
        assert all(peer.get("namespaceSelector", {"": ""}) for peer in rule["from"])


def test_metrics_are_read_from_pods_and_ports_that_are_there() -> None:
    template = _find("Deployment", "detector-serving")["spec"]["template"]
    ports = {port["name"]: port["containerPort"] for port in template["spec"]["containers"][0]["ports"]}
    assert int(template["metadata"]["annotations"]["prometheus.io/port"]) == ports["rest"]
    [monitor] = _documents(MANIFESTS / "optional" / "pod-monitor.yaml")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert [endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]] == ["rest"]


def _flink(name: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]], dict[str, str]]:
    """Pod, containers by name, and Flink's own settings of one of its deployments."""
    [found] = [r for r in _resources(FLINK) if (r["kind"], r["metadata"]["name"]) == ("Deployment", name)]
    containers = {container["name"]: container for container in _containers(found)}
    [flink] = [container for container in containers.values() if container["image"].startswith("flink:")]
    [properties] = [entry["value"] for entry in flink["env"] if entry["name"] == "FLINK_PROPERTIES"]
    return _pod_spec(found), containers, yaml.safe_load(properties)


def test_every_task_manager_has_a_pool_of_its_own_where_the_settings_look_for_it() -> None:
    pod, containers, _ = _flink("flink-taskmanager")
    worker = containers["worker"]
    options = _worker_options(worker["command"])
    host, _, port = WORKER_POOL.partition(":")
    assert (host, port) == ("localhost", options["port"])
    # Nobody but the task manager beside it.
    assert "address" not in options
    assert worker["image"] == "object-detection-pipeline"
    [volume] = ClusterSettings().volumes
    assert worker["volumeMounts"] == [{"name": volume.claim, "mountPath": volume.mount_path}]
    assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == volume.claim
    # The image's own folder belongs to root.
    assert f"chmod 2775 {worker['workingDir']}" in (MANIFESTS.parent / "Dockerfile").read_text()


def _worker_options(command: list[str]) -> dict[str, str]:
    assert command[:4] == ["python3", "-m", "pipeline", "worker"]
    return {name.removeprefix("--"): value for name, value in zip(command[4::2], command[5::2], strict=True)}


def test_flink_is_of_the_version_that_the_image_has_a_job_server_for() -> None:
    [version] = set(
        re.findall(r"^ARG FLINK_VERSION=(.*)$", (MANIFESTS.parent / "Dockerfile").read_text(), re.MULTILINE)
    )
    for name in ("flink-jobmanager", "flink-taskmanager"):
        _, containers, _ = _flink(name)
        images = [c["image"] for c in containers.values() if c["image"].startswith("flink:")]
        assert all(image.startswith(f"flink:{version}.") for image in images)


def test_task_managers_have_the_network_memory_that_statistics_need_and_find_the_job_manager() -> None:
    _, containers, task_manager = _flink("flink-taskmanager")
    assert task_manager["taskmanager.memory.network.min"] == task_manager["taskmanager.memory.network.max"] == "768m"
    assert task_manager["taskmanager.numberOfTaskSlots"] == 1
    [service] = [r for r in _resources(FLINK) if r["kind"] == "Service"]
    assert task_manager["jobmanager.rpc.address"] == service["metadata"]["name"]
    _, job_manager, settings = _flink("flink-jobmanager")
    assert settings["jobmanager.rpc.address"] == service["metadata"]["name"]
    there = {port["name"]: port["containerPort"] for port in job_manager["jobmanager"]["ports"]}
    assert {port["targetPort"]: port["port"] for port in service["spec"]["ports"]} == there
    [policy] = [r for r in _resources(FLINK) if r["kind"] == "NetworkPolicy"]
    [rule] = policy["spec"]["ingress"]
    of_tasks = {port["containerPort"] for port in containers["taskmanager"]["ports"]}
    assert {port["port"] for port in rule["ports"]} == {*there.values(), *of_tasks}
    assert {task_manager["taskmanager.rpc.port"], task_manager["taskmanager.data.port"]} == of_tasks
