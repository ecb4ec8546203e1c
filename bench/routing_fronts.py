"""Three nodes on this machine behind one router, for bench/routing.py: Lockstep's coordinator, or a
router of another project, before which each node is a `lockstep serve`, as these speak HTTP to
their workers. Standard library only.
"""
import contextlib
import dataclasses
import subprocess
import time

import http_load

LOCKSTEP = ("cost", "round-robin", "least-load")
PEERS = ("sglang-router", "vllm-router")


@dataclasses.dataclass
class Front:
    port: int                # HTTP
    coordinators: list[int]  # admin ports
    nodes: list[int]         # admin ports
    process: subprocess.Popen

    def read(self):
        """{name: value} of what the coordinators and nodes have counted."""
        def total(ports, name, **labels):
            return sum(http_load.metric(port, name, **labels) for port in ports)
        prompt = "lockstep_coordinator_prompt_tokens_total"
        counted = {"prompt": total(self.coordinators, prompt),
                   "cached": total(self.coordinators, prompt, source="cached")}
        for i, port in enumerate(self.nodes):
            for what in ("requests", "generation_tokens"):
                counted[f"{what} {i}"] = http_load.metric(port, f"lockstep_{what}_total")
            counted[f"computed {i}"] = http_load.metric(port, "lockstep_prompt_tokens_total",
                                                        source="computed")
        return counted


@contextlib.contextmanager
def start(a, router):
    with contextlib.ExitStack() as stack:
        yield (cluster if router in LOCKSTEP else peer)(a, router, stack)


def node_flags(a, admin):
    events, replay = (f"tcp://127.0.0.1:{http_load.free_port()}" for _ in range(2))
    return [a.model, "--served-model-name", "m", "--threads-per-rank", 1, "--num-kv-blocks", a.blocks,
            "--max-model-len", a.max_model_len, "--verbosity", 0, "--admin", f"127.0.0.1:{admin}",
            "--events", events, "--events-replay", replay]


def cluster(a, policy, stack):
    port, admin = http_load.free_port(), http_load.free_port()
    command = [f"{a.bin}/lockstep-coordinator", "--policy", policy, "--http", f"127.0.0.1:{port}",
               "--zmq", "", "--admin", f"127.0.0.1:{admin}", "--verbosity", 0]
    nodes = []
    for _ in range(a.nodes):
        listen, nodes = http_load.free_port(), nodes + [http_load.free_port()]
        stack.enter_context(http_load.child(
            [f"{a.bin}/lockstep-node", *node_flags(a, nodes[-1]), "--listen",
             f"tcp://127.0.0.1:{listen}"], nodes[-1], "/readyz"))
        command += ["--node", f"tcp://127.0.0.1:{listen}"]
    process = stack.enter_context(http_load.child(command, admin, "/readyz"))
    while http_load.metric(admin, "lockstep_coordinator_nodes", state="ready") < a.nodes:
        time.sleep(0.05)
    return Front(port, [admin], nodes, process)


def peer(a, router, stack):
    nodes, urls = [], []
    for _ in range(a.nodes):
        http, nodes = http_load.free_port(), nodes + [http_load.free_port()]
        stack.enter_context(http_load.child(
            [f"{a.bin}/lockstep", "serve", *node_flags(a, nodes[-1]), "--http",
             f"127.0.0.1:{http}", "--zmq", ""], nodes[-1], "/readyz"))
        urls.append(f"http://127.0.0.1:{http}")
    port, process = start_peer(a.peers, router, urls, stack)
    return Front(port, nodes, nodes, process)


def start_peer(venv, router, urls, stack):
    """(HTTP port, process) of the router before these workers: default settings, no log."""
    port = http_load.free_port()
    program = {"sglang-router": [f"{venv}/bin/python", "-m", "sglang_router.launch_router"],
               "vllm-router": [f"{venv}/bin/vllm-router"]}[router]
    return port, stack.enter_context(http_load.child(
        [*program, "--host", "127.0.0.1", "--port", port, "--policy", "cache_aware",
         "--log-level", "error", "--prometheus-port", http_load.free_port(), "--worker-urls", *urls],
        port, "/readiness"))
