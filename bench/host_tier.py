#!/usr/bin/env python3
"""What host memory is worth to a prompt whose KV blocks were evicted: time to first token with its
blocks loaded, and computed anew.

    python3 bench/host_tier.py --lockstep build/bin/lockstep --model MODEL.gguf

Two prompts take turns in a pool that holds one, first over host memory, then without it, in
alternating rounds. Standard library only.
"""
import argparse
import json
import random
import statistics

import http_load


def round_of_turns(a, flags):
    """[Answer] of the prompts' turns but the first one of each."""
    dice = random.Random(a.seed)
    prompts = [dice.choices(range(a.first_id, a.last_id + 1), k=a.prompt_tokens) for _ in range(2)]
    n_blocks = -(-(a.prompt_tokens + 16) // 16)
    with http_load.lockstep(a.lockstep, a.model, "--num-kv-blocks", str(n_blocks),
                            "--max-model-len", str(16 * n_blocks), *flags) as port:
        answers = [http_load.complete(port, dict(model="m", prompt=prompts[i % 2], max_tokens=4,
                                                 temperature=0, ignore_eos=True))
                   for i in range(2 + a.turns)]
    return answers[2:]


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--lockstep", required=True)
    p.add_argument("--model", required=True)
    p.add_argument("--prompt-tokens", type=int, default=1000)
    p.add_argument("--turns", type=int, default=6, help="measured in each round")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--host-kv-bytes", type=int, default=400_000_000)
    p.add_argument("--first-id", type=int, default=100, help="token ids of prompts are drawn from here")
    p.add_argument("--last-id", type=int, default=49000, help="to here")
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    loaded, computed = [], []
    for _ in range(a.rounds):
        loaded += round_of_turns(a, ["--host-kv-bytes", str(a.host_kv_bytes)])
        computed += round_of_turns(a, [])

    def p50_ms(answers):
        return round(1000 * statistics.median(answer.ttft for answer in answers), 2)
    print(json.dumps({
        "prompt_tokens": a.prompt_tokens,
        "tokens_loaded": max(answer.n_cached for answer in loaded),
        "tokens_cached_without": max(answer.n_cached for answer in computed),
        "ttft_p50_ms_loaded": p50_ms(loaded), "ttft_p50_ms_computed": p50_ms(computed),
        "ratio": round(p50_ms(computed) / p50_ms(loaded), 1),
    }, indent=2))


if __name__ == "__main__":
    main()
