#!/usr/bin/env python3
"""How long a client waits for its next token when the node of its stream is killed, stopped or
drained: two nodes and a coordinator on this machine, one stream at a time, medians.

    python3 bench/resume_times.py --bin build/bin --model MODEL.gguf

The answer must equal that of an undisturbed run. Standard library only.
"""
import argparse
import contextlib
import signal
import statistics
import subprocess
import time

import http_load


class Node:
    def __init__(self, a):
        self.port, self.admin, self.a = http_load.free_port(), http_load.free_port(), a
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [f"{self.a.bin}/lockstep-node", self.a.model, "--served-model-name", "m", "--listen",
             f"tcp://127.0.0.1:{self.port}", "--admin", f"127.0.0.1:{self.admin}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def is_running_a_request(self):
        page = http_load.page(self.admin, "/metrics")
        return any(line.startswith("lockstep_sequences_running") and not line.endswith(" 0")
                   for line in page.splitlines())

    def end(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def cluster(a):
    nodes = [Node(a), Node(a)]
    port = http_load.free_port()
    command = [f"{a.bin}/lockstep-coordinator", "--http", f"127.0.0.1:{port}", "--zmq", ""]
    for node in nodes:
        command += ["--node", f"tcp://127.0.0.1:{node.port}"]
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
            deed(next(node for node in nodes if node.is_running_a_request()).process)

    answer = http_load.complete(port, dict(body(a)), on_token)
    if answer.text != wanted:
        raise SystemExit(f"another answer: {answer.text!r} instead of {wanted!r}")
    return max(b - a for a, b in zip(answer.times, answer.times[1:]))


def body(a):
    return dict(model="m", prompt="Once upon a time", temperature=0, ignore_eos=True,
                max_tokens=a.tokens)


DEEDS = {"killed (SIGKILL)": subprocess.Popen.kill,
         "stopped (SIGSTOP)": lambda process: process.send_signal(signal.SIGSTOP),
         "drained (SIGTERM)": subprocess.Popen.terminate}


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
