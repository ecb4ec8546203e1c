#!/usr/bin/env python3
"""Instructions a step with the prefix cache on and off, for requests that share nothing, counted by
valgrind (callgrind).

    python3 bench/prefix_overhead.py --driver build/bench/prefix_instructions --model MODEL.gguf

Counts do not depend on what else the machine does. Standard library only.
"""
import argparse
import re
import subprocess
import tempfile


def instructions_a_step(a, mode):
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(["valgrind", "--tool=callgrind", "--toggle-collect=*run_requests*",
                               f"--callgrind-out-file={folder}/out", a.driver, a.model, mode,
                               str(a.requests)], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    collected = int(re.search(r"Collected : (\d+)", done.stderr)[1])
    steps, cached = map(int, re.search(r"steps (\d+) cached_tokens (\d+)", done.stdout).groups())
    if cached != 0:
        raise SystemExit("the requests shared something")
    return collected / steps


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--driver", required=True)
    p.add_argument("--model", required=True)
    p.add_argument("--requests", type=int, default=24)
    a = p.parse_args()
    on, off = (instructions_a_step(a, mode) for mode in ("on", "off"))
    print(f"on {on:,.0f}, off {off:,.0f} instructions a step: {100 * (on / off - 1):+.2f} %")


if __name__ == "__main__":
    main()
