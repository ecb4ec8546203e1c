#!/usr/bin/env python3
"""How long a client waits for its next token when the node of its stream is killed, stopped, cut off
or drained: two nodes and a coordinator on this machine, one stream at a time, medians.

    python3 bench/resume_times.py --bin build/bin --model MODEL.gguf

The answer must equal that of an undisturbed run. Standard library only.
"""
import argparse
import contextlib
import signal
import socket
import statistics
import subprocess
import threading
import time

import http_load


class Network:
    """Relays connections to a port of this machine, until cut_off() drops every byte without a word."""

    def __init__(self, port):
        self.to, self.is_cut = port, False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):  # the listener was closed
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with client, contextlib.suppress(OSError), \
                socket.create_connection(("127.0.0.1", self.to)) as server:
            back = threading.Thread(target=self.relay, args=(server, client), daemon=True)
            back.start()
            self.relay(client, server)
            back.join()

    def relay(self, source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if not self.is_cut:
                    target.sendall(data)
        if not self.is_cut:
            with contextlib.suppress(OSError):
                target.shutdown(socket.SHUT_RDWR)

    def cut_off(self):
        self.is_cut = True


class Node:
    def __init__(self, a):
        self.port, self.admin, self.a = http_load.free_port(), http_load.free_port(), a
        self.process = subprocess.Popen(
            [f"{self.a.bin}/lockstep-node", self.a.model, "--served-model-name", "m", "--listen",
             f"tcp://127.0.0.1:{self.port}", "--admin", f"127.0.0.1:{self.admin}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.network = Network(self.port)

    def is_running_a_request(self):
        page = http_load.page(self.admin, "/metrics")
        return any(line.startswith("lockstep_sequences_running") and not line.endswith(" 0")
                   for line in page.splitlines())

    def end(self):
        self.network.listener.close()
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def cluster(a):
    nodes = [Node(a), Node(a)]
    port = http_load.free_port()
    command = [f"{a.bin}/lockstep-coordinator", "--http", f"127.0.0.1:{port}", "--zmq", ""]
    for node in nodes:
        command += ["--node", f"tcp://127.0.0.1:{node.network.port}"]
    try:
        with http_load.child(command, port, "/health"):
            time.sleep(1)  # the second node, too
            yield nodes, port
    finally:
        for node in nodes:
            node.end()


def wait(a, nodes, port, deed, wanted):
    """Longest gap between two tokens of a stream to whose node `deed` happens, in seconds."""
    done = []

    def on_token():
        done.append(time.monotonic())
        if len(done) == a.at:
            deed(next(node for node in nodes if node.is_running_a_request()))

    answer = http_load.complete(port, dict(body(a)), on_token)
    if answer.text != wanted:
        raise SystemExit(f"another answer: {answer.text!r} instead of {wanted!r}")
    return max(b - a for a, b in zip(answer.times, answer.times[1:]))


def body(a):
    return dict(model="m", prompt="Once upon a time", temperature=0, ignore_eos=True,
                max_tokens=a.tokens)


DEEDS = {"killed (SIGKILL)": lambda node: node.process.kill(),
         "stopped (SIGSTOP)": lambda node: node.process.send_signal(signal.SIGSTOP),
         "cut off (every byte dropped)": lambda node: node.network.cut_off(),
         "drained (SIGTERM)": lambda node: node.process.terminate()}


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--bin", required=True, help="folder of the programs")
    p.add_argument("--model", required=True)
    p.add_argument("--tokens", type=int, default=200)
    p.add_argument("--at", type=int, default=100, help="token after which it happens")
    p.add_argument("--rounds", type=int, default=5)
    a = p.parse_args()
    found = {name: [] for name in DEEDS}
    for _ in range(a.rounds):
        for name, deed in DEEDS.items():
            with cluster(a) as (nodes, port):
                wanted = http_load.complete(port, dict(body(a))).text
                found[name].append(wait(a, nodes, port, deed, wanted))
    for name, times in found.items():
        print(f"{name}: {statistics.median(times):.3f} s to the next token, "
              f"{min(times):.3f} to {max(times):.3f}")


if __name__ == "__main__":
    main()
