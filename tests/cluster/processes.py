"""Real processes on loopback for the cluster tests: started on free ports, ended by pid."""

import contextlib
import http.client
import itertools
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import time

BIN = pathlib.Path(os.environ["LOCKSTEP_BIN"])
SMOLLM2 = os.environ["LOCKSTEP_MODEL"]
TINY = pathlib.Path(os.environ["LOCKSTEP_TINY_MODELS"])


# This file's own ports (tests/CMakeLists.txt), so that two test files run side by side.
_ports = itertools.count(int(os.environ["LOCKSTEP_FIRST_PORT"]))


def free_port():
    for port in _ports:
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue  # in use by another process


class Process:
    """One child whose output goes to a file; ended with SIGTERM, then SIGKILL."""

    def __init__(self, *command, env=()):
        self.log = tempfile.NamedTemporaryFile("w+", suffix=".log")
        self.child = subprocess.Popen([str(c) for c in command], stdout=self.log, stderr=self.log,
                                      stdin=subprocess.DEVNULL, env=os.environ | dict(env))

    def output(self):
        return pathlib.Path(self.log.name).read_text()

    def stop(self, timeout=30):
        """The exit code after SIGTERM."""
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(timeout)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
                raise AssertionError("did not end after SIGTERM:\n" + self.output())
        return self.child.returncode


def request(port, method, path, body=None, timeout=120):
    """(status, parsed JSON or text) of one HTTP request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    payload = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
    connection.request(method, path, payload, {"Content-Type": "application/json"})
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    if response.getheader("Content-Type", "").startswith("application/json"):
        return response.status, json.loads(text)
    return response.status, text


def stream(port, path, body, timeout=120):
    """Yields the JSON of each SSE event, [DONE] excluded; asserts that [DONE] came. close() hangs up."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("POST", path, json.dumps(dict(body, stream=True)).encode(),
                           {"Content-Type": "application/json"})
        response = connection.getresponse()
        assert response.status == 200, response.read()
        for line in response:
            if not line.startswith(b"data:"):
                continue
            data = line[5:].strip()
            if data == b"[DONE]":
                return
            yield json.loads(data)
    finally:
        connection.close()
    assert False, "the stream ended without [DONE]"


def metric(port, name, **labels):
    """One sample of a metrics page, by name and labels."""
    text = request(port, "GET", "/metrics")[1]
    for line in text.splitlines():
        if line.startswith(name) and all(f'{k}="{v}"' in line for k, v in labels.items()):
            return float(line.rsplit(" ", 1)[1])
    raise AssertionError(f"no {name}{labels} in\n{text}")


def total(port, name):
    """A counter of a metrics page, summed over its labels."""
    page = request(port, "GET", "/metrics")[1]
    samples = [line for line in page.splitlines() if line.startswith((name + " ", name + "{"))]
    assert samples, f"no {name} in\n{page}"
    return sum(float(line.rsplit(" ", 1)[1]) for line in samples)


def wait_for(condition, seconds=30, what="condition"):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {seconds} s")


def answers(port, path="/readyz"):
    try:
        return request(port, "GET", path, timeout=5)[0] == 200
    except OSError:
        return False


class Cluster:
    """A coordinator with its nodes. Attributes: http, zmq, admin, nodes, node_admins, endpoints."""

    def __init__(self, model, nodes=1, node_flags=(), coordinator_flags=("--seed", "1"),
                 node_env=(), link=lambda port: port, events=False):
        """link(port of a node): the port at which the coordinator connects to the node.
        events: the nodes publish KV events."""
        self.http, self.admin = free_port(), free_port()
        self.zmq = f"tcp://127.0.0.1:{free_port()}"
        self.nodes, self.node_admins, self.endpoints, links = [], [], [], []
        self.node_commands, self.node_env = [], node_env
        for _ in range(nodes):
            port, admin = free_port(), free_port()
            published = ("--events", f"tcp://127.0.0.1:{free_port()}", "--events-replay",
                         f"tcp://127.0.0.1:{free_port()}") if events else ()
            self.node_admins.append(admin)
            self.node_commands.append((BIN / "lockstep-node", model, "--listen",
                                       f"tcp://127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}",
                                       "--served-model-name", "m", *published, *node_flags))
            self.nodes.append(Process(*self.node_commands[-1], env=node_env))
            self.endpoints.append(f"tcp://127.0.0.1:{link(port)}")
            links += ["--node", self.endpoints[-1]]
        self.coordinator_command = (BIN / "lockstep-coordinator", "--http", f"127.0.0.1:{self.http}",
                                    "--zmq", self.zmq, "--admin", f"127.0.0.1:{self.admin}", *links,
                                    *coordinator_flags)
        self.coordinator = Process(*self.coordinator_command)

    def wait_ready(self):
        def ready():
            for process in [self.coordinator, *self.nodes]:
                assert process.child.poll() is None, process.output()
            return answers(self.admin) and metric(
                self.admin, "lockstep_coordinator_nodes", state="ready") == len(self.nodes)
        wait_for(ready, 60, "cluster ready")
        return self

    def restart_coordinator(self):
        self.coordinator = Process(*self.coordinator_command)

    def restart_node(self, idx):
        self.nodes[idx] = Process(*self.node_commands[idx], env=self.node_env)

    def stop(self):
        return [process.stop() for process in [self.coordinator, *self.nodes]]

    def blocks_in_use(self):
        return sum(metric(admin, "lockstep_kv_blocks", state="active")
                   for admin in self.node_admins)


class Server:
    """`lockstep serve`: coordinator and node in one process. Attributes: http, zmq, admin, process."""

    def __init__(self, model, *flags):
        self.http, self.admin = free_port(), free_port()
        self.zmq = f"tcp://127.0.0.1:{free_port()}"
        self.process = Process(BIN / "lockstep", "serve", model, "--served-model-name", "m",
                               "--http", f"127.0.0.1:{self.http}", "--zmq", self.zmq,
                               "--admin", f"127.0.0.1:{self.admin}", *flags)

    def wait_ready(self):
        def ready():
            assert self.process.child.poll() is None, self.process.output()
            return answers(self.admin)
        wait_for(ready, 60, "server ready")
        return self

    def metric(self, name, **labels):
        return metric(self.admin, name, **labels)

    def blocks(self):
        """{state: blocks of the pool}"""
        return {state: self.metric("lockstep_kv_blocks", state=state)
                for state in ("free", "cached", "reserved", "active")}

    def total(self, name):
        return total(self.admin, name)

    def resident_mib(self):
        status = pathlib.Path(f"/proc/{self.process.child.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024


@contextlib.contextmanager
def serve(model, *flags):
    server = Server(model, *flags)
    try:
        yield server.wait_ready()
    finally:
        server.process.stop()


@contextlib.contextmanager
def cluster(model, **kwargs):
    c = Cluster(model, **kwargs)
    try:
        yield c.wait_ready()
    finally:
        c.stop()
