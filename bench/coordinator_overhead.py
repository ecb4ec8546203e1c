#!/usr/bin/env python3
"""What the coordinator adds to the time to first token, and the processor time it takes for a request:
a mock node answers at once with one token, the prompt has 200 bytes.

    python3 bench/coordinator_overhead.py --bin build/bin
    python3 bench/coordinator_overhead.py --bin build/bin --peers VENV --peer sglang-router

Added time: one client asks the coordinator over a kept HTTP connection, streamed, and then the mock
node itself over ZeroMQ, in turns of 100 requests. The difference has in it both connections of the
coordinator, and HTTP instead of MessagePack. Processor time: eight clients at once; only the
router's own seconds count, so the mock workers may be slow. Other routers stand before a mock
HTTP worker; VENV is as in bench/routing.py. Needs pyzmq and msgpack.
"""
import argparse
import concurrent.futures
import contextlib
import json
import pathlib
import socket
import statistics
import subprocess
import sys
import time

import msgpack
import zmq

import http_load
import routing_fronts

PROMPT = ("The coordinator takes a request and sends it to a node. " * 4)[:200]
MOCK = pathlib.Path(__file__).parent / "mock_workers.py"


class HttpClient:
    """A kept connection; looks into the bytes only as far as the time needs."""

    def __init__(self, port):
        body = json.dumps({"model": "m", "prompt": PROMPT, "max_tokens": 1, "stream": True}).encode()
        self.request = (b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                        % (len(body), body))
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ttft(self):
        """Seconds until the first event; returns after the last one."""
        began, answer, first = time.perf_counter(), b"", None
        self.socket.sendall(self.request)
        while not answer.endswith(b"0\r\n\r\n"):
            data = self.socket.recv(65536)
            answer += data
            if not data or not answer.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"not an answer: {answer!r}")
            if first is None and b"data:" in answer:
                first = time.perf_counter() - began
        return first


class ZmqClient:
    """A client of the mock node."""

    def __init__(self, port):
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.RCVTIMEO, 60_000)
        self.socket.connect(f"tcp://127.0.0.1:{port}")
        self.n = 0

    def ttft(self):
        self.n += 1
        began, first = time.perf_counter(), None
        self.socket.send(msgpack.packb({"v": 1, "type": "generate", "request_id": str(self.n),
                                        "model": "m", "prompt": PROMPT, "max_tokens": 1, "seed": 1}))
        while (message := msgpack.unpackb(self.socket.recv()))["type"] != "done":
            if message["type"] == "tokens":
                first = time.perf_counter() - began
        return first


@contextlib.contextmanager
def mock(kind):
    port = http_load.free_port()
    with subprocess.Popen([sys.executable, MOCK, kind, str(port)]) as process:
        try:
            time.sleep(0.5)
            yield port
        finally:
            process.kill()


@contextlib.contextmanager
def coordinator(a):
    """(HTTP port, process of the coordinator, port of its node)"""
    with mock("zmq") as node:
        port, admin = http_load.free_port(), http_load.free_port()
        command = [f"{a.bin}/lockstep-coordinator", "--http", f"127.0.0.1:{port}", "--zmq", "",
                   "--admin", f"127.0.0.1:{admin}", "--node", f"tcp://127.0.0.1:{node}"]
        with http_load.child(command, admin, "/readyz") as process:
            yield port, process, node


@contextlib.contextmanager
def peer(a, router):
    with mock("http") as worker, contextlib.ExitStack() as stack:
        yield routing_fronts.start_peer(a.peers, router, [f"http://127.0.0.1:{worker}"], stack)


def added_time(a, port, node):
    clients = {"coordinator": HttpClient(port), "direct": ZmqClient(node)}
    times = {name: [] for name in clients}
    for client in clients.values():
        for _ in range(50):
            client.ttft()
    for _ in range(-(-a.requests // 100)):
        for name, client in clients.items():
            times[name] += [1000 * client.ttft() for _ in range(100)]
    cuts = {name: statistics.quantiles(values, n=100) for name, values in times.items()}
    figures = {f"{name}_p{p}_ms": cut[p - 1] for name, cut in cuts.items() for p in (50, 99)}
    for p in (50, 99):
        figures[f"added_p{p}_ms"] = cuts["coordinator"][p - 1] - cuts["direct"][p - 1]
    return {"requests": len(times["direct"])} | {k: round(v, 3) for k, v in figures.items()}


def requests_per_core(a, port, process):
    clients = [HttpClient(port) for _ in range(8)]
    share = -(-a.requests // len(clients))
    with concurrent.futures.ThreadPoolExecutor(len(clients)) as pool:
        list(pool.map(lambda client: client.ttft(), clients))
        began = cpu_seconds(process.pid)
        list(pool.map(lambda client: [client.ttft() for _ in range(share)], clients))
    seconds = cpu_seconds(process.pid) - began
    return {"cpu_us": round(1e6 * seconds / share / len(clients), 1),
            "requests_per_s_and_core": round(share * len(clients) / seconds)}


def cpu_seconds(pid):
    """Of all threads; in nanoseconds where the kernel has them."""
    return sum(int((task / "schedstat").read_text().split()[0])
               for task in pathlib.Path(f"/proc/{pid}/task").iterdir()) / 1e9


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--bin", required=True, help="folder of the programs")
    p.add_argument("--requests", type=int, default=4000, help="for each figure")
    p.add_argument("--peers", help="virtual environment of the other routers")
    p.add_argument("--peer", action="append", default=[], choices=routing_fronts.PEERS)
    a = p.parse_args()
    with coordinator(a) as (port, process, node):
        print(json.dumps({"router": "lockstep"} | added_time(a, port, node) |
                         requests_per_core(a, port, process)))
    for router in a.peer:
        with peer(a, router) as (port, process):
            print(json.dumps({"router": router} | requests_per_core(a, port, process)))


if __name__ == "__main__":
    main()
