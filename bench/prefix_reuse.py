#!/usr/bin/env python3
"""Many requests that share a system prompt: how much of it was read from the cache, and what that is
worth in time to first token.

    python3 bench/prefix_reuse.py --lockstep build/bin/lockstep --model MODEL.gguf

Each client sends its requests one after another. Ideal: every request but the first finds the whole
system prompt. The misses are the same requests with cache_prompt false, fewer of them. Alone: one
client, of which each request is measured with and without the cache. Standard library only.
"""
import argparse
import concurrent.futures
import json
import random
import statistics

import http_load


def prompts(a):
    """[clients][requests] token ids; no two suffixes begin alike."""
    dice = random.Random(a.seed)
    ids = range(a.first_id, a.last_id + 1)
    system = dice.choices(ids, k=a.system_tokens)
    firsts = dice.sample(ids, a.clients * a.requests)
    suffixes = [[first] + dice.choices(ids, k=a.suffix_tokens - 1) for first in firsts]
    return [[system + suffix for suffix in suffixes[i::a.clients]] for i in range(a.clients)]


def run_clients(a, port, prompts_of_clients, **fields):
    """[Answer] of all requests; each client sends its own one after another."""
    def one(mine):
        return [http_load.complete(port, dict(model="m", prompt=prompt, max_tokens=a.max_tokens,
                                              temperature=0, ignore_eos=True, **fields))
                for prompt in mine]
    with concurrent.futures.ThreadPoolExecutor(len(prompts_of_clients)) as pool:
        return [answer for answers in pool.map(one, prompts_of_clients) for answer in answers]


def p50_ms(answers):
    return round(1000 * statistics.median(answer.ttft for answer in answers), 2)


def measure(a, port):
    load = prompts(a)
    crowd = run_clients(a, port, load)
    misses = run_clients(a, port, [mine[:a.misses] for mine in load], cache_prompt=False)
    probes = [load[0][:a.misses]]
    n_cached = sum(answer.n_cached for answer in crowd)
    ideal = (len(crowd) - 1) * a.system_tokens
    return {
        "seed": a.seed, "requests": len(crowd), "cached_tokens": n_cached, "ideal": ideal,
        "ratio": round(n_cached / ideal, 4),
        "ttft_p50_ms_hits": p50_ms([x for x in crowd if x.n_cached >= a.system_tokens]),
        "ttft_p50_ms_misses": p50_ms(misses),
        # Suffixes that no earlier request had, so that only the system prompt can be a hit.
        "alone_ttft_p50_ms_hits": p50_ms(run_clients(a, port, [new_suffixes(a, load)])),
        "alone_ttft_p50_ms_misses": p50_ms(run_clients(a, port, probes, cache_prompt=False)),
    }


def new_suffixes(a, load):
    dice = random.Random(a.seed + 1)
    return [load[0][0][:a.system_tokens] + dice.choices(range(a.first_id, a.last_id + 1),
                                                        k=a.suffix_tokens) for _ in range(a.misses)]


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--lockstep", required=True)
    p.add_argument("--model", required=True)
    p.add_argument("--clients", type=int, default=16)
    p.add_argument("--requests", type=int, default=32, help="of each client")
    p.add_argument("--misses", type=int, default=4, help="requests of each client without the cache")
    p.add_argument("--system-tokens", type=int, default=512)
    p.add_argument("--suffix-tokens", type=int, default=64)
    p.add_argument("--max-tokens", type=int, default=4)
    p.add_argument("--first-id", type=int, default=100, help="token ids of prompts are drawn from here")
    p.add_argument("--last-id", type=int, default=49000, help="to here")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--flag", action="append", default=[], help="of lockstep serve, as --flag=--x=y")
    a = p.parse_args()
    with http_load.lockstep(a.lockstep, a.model, "--max-num-seqs", a.clients, *a.flag) as port:
        print(json.dumps(measure(a, port), indent=2))


if __name__ == "__main__":
    main()
