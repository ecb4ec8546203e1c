"""The settings of deploy/k8s/base in real processes: found by the names of the StatefulSet's pods,
probed where the manifests probe, within the pod's memory, found again at another address."""

import pathlib
import random
import subprocess
import sys

import pytest

from processes import BIN, SMOLLM2, TINY, Process, answers, free_port, metric, request, wait_for

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "repo"))
from manifests import Base, quantity  # noqa: E402

MODEL = TINY / "tiny-9-f32.gguf"
BASE = Base()
# The DNS of a cluster: a name is looked up in a file at every call, and one that is not in it does
# not exist.
NAMES = r"""
#include <dlfcn.h>
#include <netdb.h>

#include <cstdlib>
#include <fstream>
#include <string>

extern "C" int getaddrinfo(const char* host, const char* port, const addrinfo* hints,
                           addrinfo** out) {
  static const auto real =
      reinterpret_cast<decltype(&getaddrinfo)>(dlsym(RTLD_NEXT, "getaddrinfo"));
  const std::string wanted = host == nullptr ? "" : host;
  if (wanted.rfind("lockstep-", 0) != 0) return real(host, port, hints, out);
  std::ifstream file(std::getenv("NAMES_FILE"));
  for (std::string name, address; file >> name >> address;) {
    if (name == wanted) return real(address.c_str(), port, hints, out);
  }
  return EAI_NONAME;
}
"""


class Names:
    """What the names of the pods mean at the moment, and the prefix that makes a command see it."""

    def __init__(self, folder):
        self.file, library = folder / "names", folder / "names.so"
        self.addresses = {}
        source = folder / "names.cpp"
        source.write_text(NAMES)
        subprocess.run(["g++", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
        self.prefix = ["env", f"LD_PRELOAD={library}", f"NAMES_FILE={self.file}"]
        self.write()

    def write(self):
        # A whole file at a time: a reader sees the old names or the new ones.
        new = self.file.with_suffix(".new")
        new.write_text("".join(f"{n} {a}\n" for n, a in self.addresses.items()))
        new.rename(self.file)

    def set(self, pod, address):
        self.addresses[f"{pod}.{BASE.get('Service', 'node')['metadata']['name']}"] = address
        self.write()


def pods():
    workload = BASE.workload("node")
    return [f"{workload['metadata']['name']}-{i}" for i in range(workload["spec"]["replicas"])]


class Pod:
    """A node with the settings of the base at an address of its own, on the port of the base."""

    def __init__(self, folder, model=MODEL):
        self.admin = free_port()
        self.address = f"127.{random.randrange(64, 128)}.{random.randrange(256)}.2"
        self.process = Process(
            BIN / "lockstep-node", "--config", BASE.write_settings("node", folder), "--model",
            model, *(part for flag, port in (("--listen", "zmq"), ("--events", "events"),
                                             ("--events-replay", "events-replay"))
                     for part in (flag, f"tcp://{self.address}:{BASE.ports('node')[port]}")),
            "--admin", f"127.0.0.1:{self.admin}", "--served-model-name", "m")


def resume_key(folder):
    """What the Secret is mounted as in a pod."""
    path = folder / "resume_key"
    path.write_text("k" * 44)
    return path


class Coordinator:
    """A coordinator with the settings of the base that looks the pods up by their names."""

    def __init__(self, folder, names):
        self.http, self.admin = free_port(), free_port()
        self.process = Process(
            *names.prefix, BIN / "lockstep-coordinator", "--config",
            BASE.write_settings("coordinator", folder), "--http", f"127.0.0.1:{self.http}", "--zmq",
            f"tcp://127.0.0.1:{free_port()}", "--admin", f"127.0.0.1:{self.admin}",
            "--resume-key-file", resume_key(folder))

    def n_ready(self):
        assert self.process.child.poll() is None, self.process.output()
        if not answers(self.admin, "/startupz"):
            return 0
        return metric(self.admin, "lockstep_coordinator_nodes", state="ready")


@pytest.fixture
def started():
    """Processes to stop at the end."""
    processes = []
    yield processes
    for process in processes:
        process.stop()


def probe_path(which, probe):
    return BASE.container(which)[probe]["httpGet"]["path"]


def status(port, which, probe):
    return request(port, "GET", probe_path(which, probe))[0]


def test_pods_are_found_by_name_before_and_after_they_move(tmp_path, started):
    names = Names(tmp_path)
    coordinator = Coordinator(tmp_path, names)
    started.append(coordinator.process)
    # No pod has a name yet: the coordinator lives, and takes no requests.
    wait_for(lambda: answers(coordinator.admin, probe_path("coordinator", "startupProbe")), 30,
             "started")
    assert status(coordinator.admin, "coordinator", "livenessProbe") == 200
    assert status(coordinator.admin, "coordinator", "readinessProbe") == 503

    nodes = {}
    for pod in pods():
        nodes[pod] = Pod(tmp_path)
        started.append(nodes[pod].process)
        names.set(pod, nodes[pod].address)
    wait_for(lambda: coordinator.n_ready() == len(pods()), 60, "every node ready")
    assert status(coordinator.admin, "coordinator", "readinessProbe") == 200
    for node in nodes.values():
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert status(node.admin, "node", probe) == 200

    # One pod goes, and comes back at another address under the same name.
    moved = pods()[0]
    nodes[moved].process.stop()
    wait_for(lambda: coordinator.n_ready() == len(pods()) - 1, 30, "one node gone")
    before = nodes[moved].address
    nodes[moved] = Pod(tmp_path)
    assert nodes[moved].address != before
    started.append(nodes[moved].process)
    names.set(moved, nodes[moved].address)
    wait_for(lambda: coordinator.n_ready() == len(pods()), 60, "found at its new address")
    wait_for(lambda: all(node["index"]["state"] == "following" for node in request(
        coordinator.admin, "GET", "/v1/cluster")[1]["nodes"]), 30, "their KV events")
    for i in range(16):
        code, answer = request(coordinator.http, "POST", "/v1/completions",
                               {"model": "m", "prompt": f"{i} is a number", "max_tokens": 2,
                                "ignore_eos": True})
        assert code == 200, answer
    wait_for(lambda: metric(nodes[moved].admin, "lockstep_requests_total", outcome="length") > 0,
             10, "it serves its share")


def test_a_node_with_the_model_of_the_base_fits_its_memory_limit(tmp_path, started):
    assert pathlib.Path(SMOLLM2).name in BASE.settings("node")
    node = Pod(tmp_path, SMOLLM2)
    started.append(node.process)
    wait_for(lambda: answers(node.admin, probe_path("node", "startupProbe")), 60, "model loaded")
    page = request(node.admin, "GET", "/metrics")[1]
    tagged = sum(float(line.rsplit(" ", 1)[1]) for line in page.splitlines()
                 if line.startswith("lockstep_memory_bytes{"))
    resident = int(next(line.split()[1] for line in pathlib.Path(
        f"/proc/{node.process.child.pid}/status").read_text().splitlines()
        if line.startswith("VmRSS:"))) * 1024
    limit = quantity(BASE.container("node")["resources"]["limits"]["memory"])
    # The pool is not touched yet, so neither number has all of it; their sum has more than all.
    assert tagged > 500e6 and tagged + resident < limit
