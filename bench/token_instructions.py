#!/usr/bin/env python3
"""Instructions that the coordinator takes to forward one token, counted by valgrind (callgrind).

    python3 bench/token_instructions.py --bin build/bin --model MODEL.gguf

The figure is the difference between 32 answers of 200 tokens and 32 answers of one token, eight at a
time, so what a request costs once is not in it. The coordinator's ticks are in it: a machine that is
slowed by other work adds some percent, so compare two builds in alternating runs. Standard library
only.
"""
import argparse
import concurrent.futures
import contextlib
import http.client
import json
import os
import re
import subprocess
import tempfile

import http_load

N_REQUESTS = 32
N_STREAMS = 8
LONG = 200


@contextlib.contextmanager
def coordinator(a, out):
    """A node and, under callgrind, a coordinator; the port of the coordinator's HTTP server."""
    ports = [http_load.free_port() for _ in range(4)]
    node = f"tcp://127.0.0.1:{ports[0]}"
    with http_load.child([f"{a.bin}/lockstep-node", a.model, "--served-model-name", "m", "--listen", node,
                          "--admin", f"127.0.0.1:{ports[1]}"], ports[1], "/readyz"):
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "--quiet",
                   f"{a.bin}/lockstep-coordinator", "--node", node, "--zmq", "",
                   "--http", f"127.0.0.1:{ports[2]}", "--admin", f"127.0.0.1:{ports[3]}",
                   "--node-suspect-ms", "50000", "--node-dead-ms", "60000"]
        with http_load.child(command, ports[3], "/readyz"):
            yield ports[2]


def n_tokens_of(port, max_tokens):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    body = dict(model="m", prompt=[5, 6, 7, 8], max_tokens=max_tokens, ignore_eos=True, temperature=0)
    connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer["usage"]["completion_tokens"]


def count(a, max_tokens):
    """(tokens, instructions) of N_REQUESTS answers, the coordinator's start and end included."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out")
        with (coordinator(a, out) as port,
              concurrent.futures.ThreadPoolExecutor(N_STREAMS) as pool):
            tokens = sum(pool.map(lambda _: n_tokens_of(port, max_tokens), range(N_REQUESTS)))
        with open(out) as counted:
            return tokens, int(re.search(r"^(?:totals|summary): (\d+)", counted.read(), re.M)[1])


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--bin", required=True, help="folder of lockstep-node and lockstep-coordinator")
    p.add_argument("--model", required=True)
    a = p.parse_args()
    (few, start), (many, total) = count(a, 1), count(a, LONG)
    print(f"{(total - start) / (many - few):,.0f} instructions for each forwarded token")


if __name__ == "__main__":
    main()
