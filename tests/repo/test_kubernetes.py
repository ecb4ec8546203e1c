"""deploy/k8s, the base and its overlay for GPUs: what kubectl renders is valid, and its parts agree
with each other and with the binaries. Nothing here talks to a cluster."""

import copy
import re
import shutil

import kubernetes_validate
import pytest
import yaml

from manifests import (BASE, BIN, GPU, ROOT, TINY, TOOLS, WORKLOADS, Base, component, quantity,
                       render, run)

RENDERED = {"base": Base(BASE), "gpu": Base(GPU)}
KUBERNETES = "1.37"
MODEL = TINY / "tiny-9-f32.gguf"
# Maps whose keys are names of ours, so that no schema can know them.
FREE_KEYS = {"labels", "matchLabels", "data", "limits", "requests"}

GPUS = "nvidia.com/gpu"
# The emulated devices and NCCL, which the tests build where there is an nccl.h.
EMULATED = [BIN.parent / "tests" / "libemulated_cuda_module.so",
            BIN.parent / "tests" / "emulated_nccl" / "libnccl.so.2"]

both = pytest.mark.parametrize("which", WORKLOADS)


@pytest.fixture(params=RENDERED)
def base(request):
    return RENDERED[request.param]


@pytest.fixture
def gpu():
    return RENDERED["gpu"]


def validate(text, folder):
    path = folder / "rendered.yaml"
    path.write_text(text)
    return run(TOOLS / "kubernetes-validate", "--strict", "-k", KUBERNETES, path)


def is_valid(document):
    try:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
        return True
    except kubernetes_validate.ValidationError:
        return False


def fields(node, path=()):
    """The path of every field of the schema: ("spec", "ports", 0, "name")."""
    if isinstance(node, list):
        for i, item in enumerate(node):
            yield from fields(item, (*path, i))
    elif isinstance(node, dict):
        for key, value in node.items():
            yield (*path, key)
            is_free = key in FREE_KEYS or (key == "selector" and "matchLabels" not in value)
            if not is_free:
                yield from fields(value, (*path, key))


def misspelt(document, path):
    changed = copy.deepcopy(document)
    parent = changed
    for step in path[:-1]:
        parent = parent[step]
    parent[path[-1] + "s"] = parent.pop(path[-1])
    return changed


def matches(selector, labels):
    assert set(selector) == {"matchLabels"}, "only matchLabels is understood here"
    return selector["matchLabels"].items() <= labels.items()


def selected(base, selector):
    return {which for which in WORKLOADS
            if matches(selector, base.pod(which)["metadata"]["labels"])}


def effective(base, which, folder):
    """Every setting that the process runs with, defaults included."""
    code, out = run(BIN / f"lockstep-{which}", "--config", base.write_settings(which, folder),
                    "--print-config")
    assert code == 0, out
    return yaml.safe_load(out)


def check(settings, *flags):
    """(exit code, output) of a node's --check of a settings file, with a small model."""
    return run(BIN / "lockstep-node", "--config", settings, "--model", MODEL, *flags, "--check")


def port_of(address):
    return int(address.rsplit(":", 1)[1])


# Schemas


def test_it_renders_and_passes_strict_validation(base, tmp_path):
    code, out = validate(base.text, tmp_path)
    assert code == 0 and out.count("passed") == len(base.documents), out


def kinds(rendered, known=()):
    return sorted({d["kind"] for d in rendered.documents if d not in known})


@pytest.mark.parametrize("rendered, kind", [
    *(("base", kind) for kind in kinds(RENDERED["base"])),
    *(("gpu", kind) for kind in kinds(RENDERED["gpu"], RENDERED["base"].documents))])
def test_every_misspelt_field_is_refused(rendered, kind):
    for document in RENDERED[rendered].all(kind):
        assert is_valid(document)
        paths = [p for p in fields(document) if p not in {("apiVersion",), ("kind",)}]
        assert paths
        assert [p for p in paths if is_valid(misspelt(document, p))] == []


@pytest.fixture
def copied(tmp_path):
    """All of deploy/k8s, to break."""
    return shutil.copytree(BASE.parent, tmp_path / "k8s")


@pytest.mark.parametrize("name, field", [
    ("base/node.yaml", "readinessProbe:"), ("base/coordinator.yaml", "maxUnavailable:"),
    ("base/network-policy.yaml", "policyTypes:"), ("overlays/gpu/node.yaml", "tolerations:"),
    ("overlays/gpu/node.yaml", "sizeLimit:"), ("overlays/gpu/node.yaml", "limits:")])
def test_a_misspelt_field_in_the_sources_is_refused(copied, tmp_path, name, field):
    source = copied / name
    assert field in source.read_text()
    source.write_text(source.read_text().replace(field, field[:-1] + "s:"))
    code, out = validate(render((copied / name).parent), tmp_path)
    assert code != 0 and field[:-1] + "s" in out


@pytest.mark.parametrize("folder", ["base", "overlays/gpu"])
def test_a_misspelt_field_of_the_kustomization_is_refused(copied, folder):
    source = copied / folder / "kustomization.yaml"
    source.write_text(source.read_text().replace("configMapGenerator:", "configMapGenerators:"))
    code, out = run(TOOLS / "kubectl", "kustomize", copied / folder)
    assert code != 0 and "configMapGenerators" in out


# Names and numbers


def test_every_object_carries_the_common_labels(base):
    for document in base.documents:
        labels = document["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == labels["app.kubernetes.io/part-of"] == "lockstep"
        assert labels["app.kubernetes.io/component"] in WORKLOADS


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "Service", "PodDisruptionBudget",
                                  "NetworkPolicy"])
def test_selectors_choose_the_pods_of_their_component(base, kind):
    assert base.all(kind)
    for document in base.all(kind):
        spec = document["spec"]
        selector = spec["podSelector" if kind == "NetworkPolicy" else "selector"]
        if kind == "Service":
            selector = {"matchLabels": selector}
        assert selected(base, selector) == {component(document)}
        for spread in spec.get("template", {}).get("spec", {}).get("topologySpreadConstraints", []):
            assert selected(base, spread["labelSelector"]) == {component(document)}


@both
def test_services_lead_to_every_port_of_the_container_once(base, which):
    services = [s["spec"] for s in base.all("Service") if component(s) == which]
    ports = [(p["name"], p["targetPort"], p["port"]) for s in services for p in s["ports"]]
    assert sorted(ports) == [(name, name, port) for name, port in sorted(base.ports(which).items())]


@both
def test_admin_ports_are_not_balanced_but_found_pod_by_pod(base, which):
    """Probes and metrics are a pod's own, also before it is ready."""
    for service in base.all("Service"):
        spec = service["spec"]
        if component(service) == which and "admin" in [p["name"] for p in spec["ports"]]:
            assert spec["clusterIP"] == "None" and spec["publishNotReadyAddresses"]


def test_clients_reach_coordinators_through_one_address(base):
    balanced = {s["metadata"]["name"]: sorted(p["name"] for p in s["spec"]["ports"])
                for s in base.all("Service") if s["spec"].get("clusterIP") != "None"}
    assert balanced == {"lockstep-coordinator": ["http", "zmq"]}


@both
def test_containers_name_the_ports_of_the_settings(base, which, tmp_path):
    settings = effective(base, which, tmp_path)
    listeners = {"coordinator": {"http": "http", "zmq": "zmq", "admin": "admin"},
                 "node": {"zmq": "listen", "admin": "admin", "events": "events",
                          "events-replay": "events_replay"}}[which]
    assert base.ports(which) == {port: port_of(settings[s]) for port, s in listeners.items()}
    assert all("0.0.0.0:" in settings[s] for s in listeners.values())


def test_coordinators_know_every_pod_of_the_stateful_set_and_no_other(base, tmp_path):
    workload = base.workload("node")
    service = base.get("Service", "node")
    assert workload["spec"]["serviceName"] == service["metadata"]["name"]
    assert service["spec"]["clusterIP"] == "None" and service["spec"]["publishNotReadyAddresses"]
    pods = [f"{workload['metadata']['name']}-{i}" for i in range(workload["spec"]["replicas"])]
    port = base.ports("node")["zmq"]
    assert effective(base, "coordinator", tmp_path)["node"] == [
        f"tcp://{pod}.{service['metadata']['name']}:{port}" for pod in pods]


@both
def test_the_binaries_accept_the_settings(base, which, tmp_path):
    settings = base.write_settings(which, tmp_path)
    if which == "coordinator":
        key = tmp_path / "key"
        key.write_text("k" * 44 + "\n")
        result = run(BIN / "lockstep-coordinator", "--config", settings, "--resume-key-file", key,
                     "--check")
    elif base is RENDERED["gpu"]:
        # Without a module to load, all settings but the device; the next test is about that one.
        module, nccl = EMULATED
        on_gpus = ("--cuda-module", module, "--nccl-library", nccl)
        result = check(settings, *(on_gpus if module.exists() else ("--device", "cpu")))
    else:
        result = check(settings)
    assert result == (0, "ok\n")


def test_a_node_of_the_gpu_overlay_does_not_start_without_the_module(gpu, tmp_path):
    code, out = check(gpu.write_settings("node", tmp_path), "--cuda-module", tmp_path / "none.so")
    assert (code, out) == (
        2, f"lockstep-node: device: cuda: no CUDA module at {tmp_path}/none.so\n")


@both
def test_pods_read_the_settings_and_the_model_where_they_are_mounted(base, which, tmp_path):
    container, spec = base.container(which), base.pod(which)["spec"]
    mounts = {m["name"]: m for m in container["volumeMounts"]}
    volumes = {v["name"]: v for v in spec["volumes"]}
    assert mounts.keys() == volumes.keys()
    assert all(m["readOnly"] for name, m in mounts.items() if name != "shm")
    assert container["command"] == [f"lockstep-{which}"]
    assert container["args"] == ["--config", f"{mounts['config']['mountPath']}/{which}.yaml"]
    generated = base.get("ConfigMap", which)["metadata"]["name"]
    assert volumes["config"]["configMap"] == {"name": generated}
    assert re.fullmatch(rf"lockstep-{which}-\w{{10}}", generated)
    if which == "node":
        model = effective(base, which, tmp_path)["model"]
        assert model.rpartition("/")[0] == mounts["model"]["mountPath"]
        assert volumes["model"]["persistentVolumeClaim"]["readOnly"]


def test_coordinators_share_a_resume_key_that_is_not_in_the_repository(base, tmp_path):
    spec = base.pod("coordinator")["spec"]
    (secret,) = [v["secret"] for v in spec["volumes"] if "secret" in v]
    (mount,) = [m for m in base.container("coordinator")["volumeMounts"]
                if m["name"] == "resume-key"]
    assert effective(base, "coordinator", tmp_path)["resume_key_file"] == mount["mountPath"] + "/key"
    # A pod without the key would start, and refuse the streams of the others.
    assert secret == {"secretName": "lockstep-resume-key", "defaultMode": 0o440}
    assert spec["securityContext"]["fsGroup"] == spec["securityContext"]["runAsGroup"]
    assert base.all("Secret") == []
    assert "secret" not in yaml.safe_dump(base.pod("node"))
    for source in (BASE / "kustomization.yaml", ROOT / "docs" / "operations.md"):
        assert "create secret generic lockstep-resume-key --from-file=key=" in source.read_text()


def test_a_coordinator_of_the_base_does_not_start_without_the_key(base, tmp_path):
    settings = base.write_settings("coordinator", tmp_path)
    code, out = run(BIN / "lockstep-coordinator", "--config", settings, "--check")
    assert code == 2 and out.count("\n") == 1 and "/etc/lockstep-resume/key" in out, out


@both
def test_the_image_is_of_this_version(base, which):
    version = re.search(r"project\(lockstep VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text())
    suffix = "-cuda" if base is RENDERED["gpu"] and which == "node" else ""
    assert base.container(which)["image"] == f"lockstep:{version.group(1)}{suffix}"


# Life of a pod


@both
def test_each_probe_asks_its_path_on_the_admin_port(base, which):
    container = base.container(which)
    for probe, path in [("startupProbe", "/startupz"), ("readinessProbe", "/readyz"),
                        ("livenessProbe", "/livez")]:
        assert container[probe]["httpGet"] == {"path": path, "port": "admin"}


@both
def test_a_pod_may_drain_before_it_is_killed(base, which, tmp_path):
    pause = (base.container(which).get("lifecycle", {}).get("preStop", {}).get("sleep", {})
             .get("seconds", 0))
    drain = effective(base, "coordinator", tmp_path)["drain_timeout_ms"] / 1000
    assert base.pod(which)["spec"]["terminationGracePeriodSeconds"] >= pause + drain + 10


@both
def test_an_eviction_leaves_a_pod_that_serves(base, which):
    budget = base.get("PodDisruptionBudget", which)["spec"]["maxUnavailable"]
    assert 1 <= budget < base.workload(which)["spec"]["replicas"]


@both
def test_pods_are_restricted(base, which):
    spec, container = base.pod(which)["spec"], base.container(which)
    assert spec["automountServiceAccountToken"] is False
    pod = spec["securityContext"]
    assert pod["runAsNonRoot"] and pod["runAsUser"] > 0 and pod["runAsGroup"] > 0
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {"allowPrivilegeEscalation": False,
                                            "readOnlyRootFilesystem": True,
                                            "capabilities": {"drop": ["ALL"]}}


@both
def test_settings_fit_the_limits_of_the_pod(base, which, tmp_path):
    resources = base.container(which)["resources"]
    requests, limits = ({k: quantity(v) for k, v in resources[r].items()}
                        for r in ("requests", "limits"))
    # Kubernetes requests as many GPUs as the limit says; another number would be refused.
    assert requests.keys() == limits.keys() - {GPUS} == {"cpu", "memory"}
    assert requests["memory"] == limits["memory"] and requests["cpu"] <= limits["cpu"]
    settings = effective(base, which, tmp_path)
    if which == "node":
        threads = settings["tensor_parallel_size"] * settings["threads_per_rank"]
        assert 0 < threads < requests["cpu"]
        # On GPUs the default is what they have free.
        assert (settings["num_kv_blocks"] > 0) == (base is not RENDERED["gpu"])
    else:
        bodies = settings["max_connections"] * settings["max_body_bytes"]
        assert bodies <= limits["memory"] / 2
        assert settings["max_inflight_bytes"] <= limits["memory"] / 4


# The overlay for GPUs


def test_a_node_has_a_rank_for_each_gpu_of_its_pod(gpu, tmp_path):
    settings = effective(gpu, "node", tmp_path)
    limits = gpu.container("node")["resources"]["limits"]
    assert settings["device"] == "cuda"
    assert settings["tensor_parallel_size"] == quantity(limits[GPUS]) > 1
    assert GPUS not in gpu.container("coordinator")["resources"]["limits"]


def test_ranks_share_memory_that_the_pod_has(gpu):
    spec, container = gpu.pod("node")["spec"], gpu.container("node")
    (mount,) = [m for m in container["volumeMounts"] if m["mountPath"] == "/dev/shm"]
    assert not mount.get("readOnly")
    (volume,) = [v for v in spec["volumes"] if v["name"] == mount["name"]]
    assert volume["emptyDir"].keys() == {"medium", "sizeLimit"}
    assert volume["emptyDir"]["medium"] == "Memory"
    limit = quantity(container["resources"]["limits"]["memory"])
    assert 64 << 20 < quantity(volume["emptyDir"]["sizeLimit"]) <= limit / 4


def test_the_gpu_overlay_changes_the_nodes_only(gpu):
    """And of these what it must; so a change of the base reaches it."""
    def unchanged(rendered, kind, which):
        document = copy.deepcopy(rendered.get(kind, which))
        if (kind, which) == ("ConfigMap", "node"):
            document["metadata"].pop("name")
            document.pop("data")
        elif (kind, which) == ("StatefulSet", "node"):
            spec = document["spec"]["template"]["spec"]
            spec.pop("tolerations", None)
            (container,) = spec["containers"]
            container.pop("image"), container.pop("resources")
            for parent, key in ((container, "volumeMounts"), (spec, "volumes")):
                parent[key] = [v for v in parent[key] if v["name"] not in ("shm", "config")]
        return document

    base = RENDERED["base"]
    objects = [(d["kind"], component(d)) for d in base.documents]
    assert objects == [(d["kind"], component(d)) for d in gpu.documents]
    for kind, which in {o for o in objects if o != ("Service", "coordinator")}:
        assert unchanged(gpu, kind, which) == unchanged(base, kind, which), (kind, which)
    assert gpu.all("Service") == base.all("Service")


def test_the_settings_of_the_gpu_overlay_are_the_bases_but_for_the_devices(gpu, tmp_path):
    theirs, ours = (effective(rendered, "node", tmp_path) for rendered in (RENDERED["base"], gpu))
    assert {name for name in ours if ours[name] != theirs[name]} == {
        "device", "tensor_parallel_size", "threads_per_rank", "num_kv_blocks"}


# Which pods reach which ports


def admits(base, which, port, namespace, labels, is_ours):
    """Whether the NetworkPolicies let a pod with these labels, in a namespace with these labels
    (ours or not), connect to that port. As the API's documentation defines it: a pod that no policy
    selects is open; else some rule has to match."""
    def is_peer(peer):
        in_namespace = (matches(peer["namespaceSelector"], namespace)
                        if "namespaceSelector" in peer else is_ours)
        return in_namespace and ("podSelector" not in peer or matches(peer["podSelector"], labels))

    policies = [p["spec"] for p in base.all("NetworkPolicy")
                if which in selected(base, p["spec"]["podSelector"])
                and "Ingress" in p["spec"]["policyTypes"]]
    return not policies or any(
        ("from" not in rule or any(is_peer(peer) for peer in rule["from"]))
        and ("ports" not in rule or any(p["port"] == port and p["protocol"] == "TCP"
                                        for p in rule["ports"]))
        for policy in policies for rule in policy.get("ingress", []))


def test_each_port_is_open_to_its_users_only(base):
    ours = {"kubernetes.io/metadata.name": "lockstep"}
    clients = {"kubernetes.io/metadata.name": "shop", "lockstep-clients": "true"}
    monitoring = {"kubernetes.io/metadata.name": "monitoring"}
    sources = {
        "client": (clients, {"app": "shop"}, False),
        "prometheus": (monitoring, {"app.kubernetes.io/name": "prometheus"}, False),
        "other pod of monitoring": (monitoring, {"app.kubernetes.io/name": "grafana"}, False),
        "prometheus by name only": (ours, {"app.kubernetes.io/name": "prometheus"}, True),
        "coordinator": (ours, base.pod("coordinator")["metadata"]["labels"], True),
        "coordinator of another namespace":
            ({}, base.pod("coordinator")["metadata"]["labels"], False),
        "node": (ours, base.pod("node")["metadata"]["labels"], True),
        "stranger beside us": (ours, {"app": "stranger"}, True),
        "stranger": ({}, {}, False),
    }
    users = {("coordinator", "http"): {"client"}, ("coordinator", "zmq"): {"client"},
             ("coordinator", "admin"): {"prometheus"}, ("node", "zmq"): {"coordinator"},
             ("node", "events"): {"coordinator"}, ("node", "events-replay"): {"coordinator"},
             ("node", "admin"): {"prometheus"}}
    assert users.keys() == {(which, port) for which in WORKLOADS for port in base.ports(which)}
    for (which, port), expected in users.items():
        admitted = {name for name, source in sources.items() if admits(base, which, port, *source)}
        assert admitted == expected, (which, port)


def test_network_rules_name_ports_that_exist(base):
    for policy in base.all("NetworkPolicy"):
        named = [p["port"] for rule in policy["spec"]["ingress"] for p in rule["ports"]]
        assert sorted(named) == sorted(base.ports(component(policy)))


def test_nothing_goes_out_of_a_node(base):
    spec = base.get("NetworkPolicy", "node")["spec"]
    assert "Egress" in spec["policyTypes"] and not spec.get("egress")
