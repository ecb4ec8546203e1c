#!/usr/bin/env python3
"""Where requests go, and what that is worth: three nodes on this machine, each with a KV pool that is
too small for all prefixes, behind a coordinator with one policy after another, and behind routers
of other projects.

    python3 bench/routing.py --bin build/bin --model MODEL.gguf
    python3 bench/routing.py --bin build/bin --model MODEL.gguf --peers VENV --peer sglang-router

VENV is a virtual environment with the PyPI packages `sglang-router` and `vllm-router`. A router is
started anew for each load and round. The loop is closed: a client sends its next request a random
time after its last answer, so that a router that computes more is not given a longer queue for it.
Each run prints a JSON line, the last lines are tables of medians. Standard library only.
"""
import argparse
import json
import statistics
import sys

import http_load
import routing_fronts
import routing_loads

RATIOS = (("cost", "round-robin"), ("cost", "sglang-router"), ("cost", "vllm-router"))


def measure(a, load, router, clients):
    """One run: a dictionary of figures."""
    # sglang-router accepts text only, and both peers find prefixes in text.
    form = a.prompts if router in routing_fronts.LOCKSTEP else "text"
    with routing_fronts.start(a, router) as front:
        warm_up(a, front)
        before = front.read()
        answers, seconds = routing_loads.run(front.port, clients, form, a.max_tokens)
        counted = {name: value - before[name] for name, value in front.read().items()}
        if a.receipts and router == "cost":
            keep_receipts(a, load, front, answers)
    ttfts = [1000 * answer.ttft for answer in answers]
    return {
        "load": load, "router": router, "prompts": form, "requests": len(answers),
        "seconds": round(seconds, 2), "prompt_tokens": int(counted["prompt"]),
        "cached_tokens": int(counted["cached"]),
        "cached": round(counted["cached"] / counted["prompt"], 4),
        "ttft_p50_ms": round(statistics.median(ttfts), 1),
        "ttft_p90_ms": round(statistics.quantiles(ttfts, n=10, method="inclusive")[-1], 1),
        "output_tokens_s": round(len(answers) * a.max_tokens / seconds, 1),
        "requests_max_to_mean": max_to_mean(counted, "requests "),
        "output_tokens_max_to_mean": max_to_mean(counted, "generation_tokens "),
        "computed_tokens_max_to_mean": max_to_mean(counted, "computed "),
    }


def warm_up(a, front):
    """A few prompts, so that each node has fitted how long its steps take."""
    clients = [[routing_loads.Step(0, routing_loads.Piece(f"{i} warm" * 16, (50 + i,) * 32))] * 2
               for i in range(2 * a.nodes)]
    routing_loads.run(front.port, clients, "text", 8)


def max_to_mean(counted, prefix):
    values = [value for name, value in counted.items() if name.startswith(prefix)]
    return round(max(values) / statistics.mean(values), 3)


def keep_receipts(a, load, front, answers):
    """Why each request went where it went (docs/routing.md), beside what came of it."""
    with open(a.receipts, "a", encoding="utf-8") as out:
        for answer in sorted(answers, key=lambda answer: answer.sent):
            page = http_load.page(front.coordinators[0], f"/v1/routes/{answer.request_id}")
            print(json.dumps({"load": load, "sent": answer.sent, "ttft_ms": 1000 * answer.ttft,
                              "cached_tokens": answer.n_cached, "route": json.loads(page)}), file=out)


def of(runs, load, router, figure):
    return [run[figure] for run in runs if run["load"] == load and run["router"] == router]


def print_tables(a, runs):
    columns = {"cached_tokens": "prompt tokens from the cache", "cached": "share",
               "ttft_p50_ms": "TTFT p50, ms", "ttft_p90_ms": "p90",
               "output_tokens_s": "output tokens/s",
               "requests_max_to_mean": "requests, max/mean of nodes",
               "output_tokens_max_to_mean": "output tokens, max/mean",
               "computed_tokens_max_to_mean": "computed prompt tokens, max/mean"}
    print(f"\n| load | router | {' | '.join(columns.values())} |\n|---|---|{'---|' * len(columns)}")
    for load in a.load:
        for router in a.routers:
            values = (f"{statistics.median(of(runs, load, router, c)):g}" for c in columns)
            print(f"| {load} | {router} | {' | '.join(values)} |")
    print("\n| load | ratio | prompt tokens from the cache | TTFT p50 |\n|---|---|---|---|")
    for load in a.load:
        for pair in RATIOS:
            if set(pair) <= set(a.routers):
                values = (f"{ratio(runs, load, pair, c):.2f}" for c in ("cached_tokens", "ttft_p50_ms"))
                print(f"| {load} | {' / '.join(pair)} | {' | '.join(values)} |")


def ratio(runs, load, pair, figure):
    """Median of the rounds' ratios."""
    ours, theirs = (of(runs, load, router, figure) for router in pair)
    return statistics.median(x / max(y, 1) for x, y in zip(ours, theirs))


def arguments():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--bin", required=True, help="folder of the programs")
    p.add_argument("--model", required=True)
    p.add_argument("--policy", action="append", choices=routing_fronts.LOCKSTEP, help="default: all")
    p.add_argument("--peers", help="virtual environment of the other routers")
    p.add_argument("--peer", action="append", default=[], choices=routing_fronts.PEERS)
    p.add_argument("--prompts", default="ids", choices=("ids", "text"), help="what Lockstep gets")
    p.add_argument("--load", action="append", choices=list(routing_loads.LOADS), help="default: all")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--nodes", type=int, default=3)
    p.add_argument("--blocks", type=int, default=160, help="--num-kv-blocks of a node")
    p.add_argument("--max-model-len", type=int, default=2048)
    p.add_argument("--conversations", type=int, default=9)
    p.add_argument("--turns", type=int, default=4)
    p.add_argument("--prefix-tokens", type=int, default=384, help="of a group or a conversation")
    p.add_argument("--turn-tokens", type=int, default=32, help="that the user adds")
    p.add_argument("--groups", type=int, default=9, help="of shared prefixes")
    p.add_argument("--group-requests", type=int, default=4)
    p.add_argument("--tail-tokens", type=int, default=32, help="behind a shared prefix")
    p.add_argument("--half-requests", type=int, default=96, help="of which half share a prefix")
    p.add_argument("--unique-tokens", type=int, default=128, help="of prompts that share nothing")
    p.add_argument("--max-tokens", type=int, default=16)
    p.add_argument("--clients", type=int, default=4, help="with shared prefixes")
    p.add_argument("--busy-clients", type=int, default=8, help="with half shared; they do not think")
    p.add_argument("--think", type=float, default=1.0, help="mean s between two turns; half of it "
                   "between two requests with shared prefixes")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--receipts", help="file to which the decisions of the policy cost are added")
    return p.parse_args()


def main():
    a = arguments()
    a.load = a.load or list(routing_loads.LOADS)
    a.routers = (a.policy or list(routing_fronts.LOCKSTEP)) + a.peer
    with http_load.lockstep(f"{a.bin}/lockstep", a.model) as port:
        write = routing_loads.Writer(port, a.seed)
        clients = {load: routing_loads.LOADS[load](a, write) for load in a.load}
    runs = []
    for i in range(a.rounds):
        for load in a.load:
            for k in range(len(a.routers)):
                router = a.routers[(i + k) % len(a.routers)]
                runs.append({"round": i} | measure(a, load, router, clients[load]))
                print(json.dumps(runs[-1]))
                sys.stdout.flush()
    print_tables(a, runs)


if __name__ == "__main__":
    main()
