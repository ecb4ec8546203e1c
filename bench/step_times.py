#!/usr/bin/env python3
"""How well a node's own step times (docs/wire-protocol.md, heartbeat) predict what clients see: random
traffic first, then prompts on the idle node and streams side by side, predicted and measured.

    python3 bench/step_times.py --bin build/bin --model MODEL.gguf

Standard library only.
"""
import argparse
import random
import re
import statistics
import threading

import http_load


class Load:
    def __init__(self, a, port, admin):
        self.a, self.port, self.admin = a, port, admin
        self.random = random.Random(a.seed)

    def prompt(self, n_tokens):
        return [self.random.randrange(1000, 9000) for _ in range(n_tokens)]

    def complete(self, n_prompt, n_outputs):
        return http_load.complete(self.port, dict(
            model="m", prompt=self.prompt(n_prompt), max_tokens=n_outputs, ignore_eos=True,
            temperature=0))

    def traffic(self):
        """Requests of many lengths, from one to four at once."""
        for n_threads in (1, 2, 4, 1, 3):
            threads = [threading.Thread(target=self.complete, args=(
                self.random.randint(8, self.a.prompt), self.random.randint(16, 96)))
                for _ in range(n_threads) for _ in range(2)]
            for group in (threads[::2], threads[1::2]):
                for thread in group:
                    thread.start()
                for thread in group:
                    thread.join()

    def coefficients(self):
        page = http_load.page(self.admin, "/metrics")
        return {term: float(value) for term, value in re.findall(
            r'^lockstep_step_time_coefficient_seconds\{term="(\w+)"\} (\S+)$', page, re.M)}


def prefill_seconds(c, n_tokens, n_rows):
    """Of a prompt alone, n_rows tokens a step."""
    total, before = 0, 0
    while before < n_tokens:
        p = min(n_rows, n_tokens - before)
        total += c["base"] + c["prompt_token"] * p + c["prompt_context"] * p * (before + p / 2)
        before += p
    return total


def decode_seconds(c, n, length):
    return c["base"] + n * (c["sequence"] + c["context"] * length)


def report(what, pairs):
    errors = [abs(predicted / measured - 1) for predicted, measured in pairs]
    signed = [predicted / measured - 1 for predicted, measured in pairs]
    print(f"| {what} | {len(pairs)} | {statistics.median(errors):.1%} | "
          f"{statistics.quantiles(errors, n=10)[-1]:.1%} | {statistics.median(signed):+.1%} |")


def prompts(load, a):
    pairs = []
    for _ in range(a.probes):
        n = load.random.randint(8, a.prompt)
        predicted = prefill_seconds(load.coefficients(), n, a.rows)
        pairs.append((predicted, load.complete(n, 2).ttft))
    return pairs


def streams(load, a, n):
    """The median time between tokens of n streams that have begun, predicted before they ran."""
    pairs = []
    for _ in range(max(a.probes // 4, 3)):
        n_prompt = load.random.randint(8, a.prompt // n)
        predicted = decode_seconds(load.coefficients(), n, n_prompt + 32)
        answers = [None] * n

        def run(i, n_prompt=n_prompt, answers=answers):
            answers[i] = load.complete(n_prompt, 64)
        threads = [threading.Thread(target=run, args=(i,)) for i in range(n)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        together = max(answer.times[0] for answer in answers)
        gaps = [b - a for answer in answers for a, b in zip(answer.times, answer.times[1:])
                if a >= together]
        pairs.append((predicted, statistics.median(gaps)))
    return pairs


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--prompt", type=int, default=1200, help="longest prompt, in tokens")
    parser.add_argument("--rows", type=int, default=512, help="max_num_batched_tokens of the node")
    parser.add_argument("--probes", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    a = parser.parse_args()
    port, admin = http_load.free_port(), http_load.free_port()
    command = [f"{a.bin}/lockstep", "serve", a.model, "--served-model-name", "m", "--http",
               f"127.0.0.1:{port}", "--zmq", "", "--admin", f"127.0.0.1:{admin}", "--verbosity", "0",
               "--max-num-batched-tokens", str(a.rows)]
    with http_load.child(command, admin, "/readyz"):
        load = Load(a, port, admin)
        load.traffic()
        print("| predicted | probes | median error | 90th percentile | median with its sign |")
        print("|---|---|---|---|---|")
        report("time to first token of a prompt alone", prompts(load, a))
        for n in (1, 2, 4):
            report(f"time between tokens of {n} streams", streams(load, a, n))
        print({term: f"{1e3 * value:.3g} ms" for term, value in load.coefficients().items()})


if __name__ == "__main__":
    main()
