"""deploy/k8s as kubectl renders it, for the tests that read it."""

import os
import pathlib
import re
import subprocess
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
BASE = ROOT / "deploy" / "k8s" / "base"
GPU = ROOT / "deploy" / "k8s" / "overlays" / "gpu"
BIN = pathlib.Path(os.environ["LOCKSTEP_BIN"])
TINY = pathlib.Path(os.environ["LOCKSTEP_TINY_MODELS"])
TOOLS = pathlib.Path(sys.executable).parent  # tests/run.sh installs them into its venv
WORKLOADS = {"coordinator": "Deployment", "node": "StatefulSet"}  # by component


def run(*command):
    """(exit code, everything that it said)"""
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, text=True,
                          stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=120)
    return done.returncode, done.stdout


def render(folder):
    code, out = run(TOOLS / "kubectl", "kustomize", folder)
    assert code == 0, out
    return out


def component(document):
    return document["metadata"]["labels"]["app.kubernetes.io/component"]


def quantity(text):
    """Bytes, or cores."""
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi|m|)", str(text)).groups()
    return int(number) * {"Mi": 1 << 20, "Gi": 1 << 30, "m": 0.001, "": 1}[unit]


class Base:
    """The rendered documents of the base, or of an overlay of it, by kind and component."""

    def __init__(self, folder=BASE):
        self.text = render(folder)
        self.documents = list(yaml.safe_load_all(self.text))

    def all(self, kind):
        return [d for d in self.documents if d["kind"] == kind]

    def get(self, kind, which):
        found = [d for d in self.all(kind) if component(d) == which]
        assert len(found) == 1, f"{len(found)} of {kind} {which}"
        return found[0]

    def workload(self, which):
        return self.get(WORKLOADS[which], which)

    def pod(self, which):
        return self.workload(which)["spec"]["template"]

    def container(self, which):
        containers = self.pod(which)["spec"]["containers"]
        assert len(containers) == 1
        return containers[0]

    def ports(self, which):
        """{name: number} of the container."""
        return {p["name"]: p["containerPort"] for p in self.container(which)["ports"]}

    def settings(self, which):
        """The text of the settings file."""
        return self.get("ConfigMap", which)["data"][f"{which}.yaml"]

    def write_settings(self, which, folder):
        path = folder / f"{which}.yaml"
        path.write_text(self.settings(which))
        return path
