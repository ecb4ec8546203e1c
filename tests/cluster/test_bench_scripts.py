"""The scripts in bench/ that need a server alone run, on a small case. docs/performance.md has
what they measure.
"""

import json
import pathlib
import re
import subprocess
import sys

from processes import BIN, SMOLLM2, TINY

BENCH = pathlib.Path(__file__).resolve().parents[2] / "bench"


def test_the_stall_of_streams_by_a_long_prompt_is_measured_with_and_without_the_target():
    done = subprocess.run([sys.executable, BENCH / "long_prompt_stall.py", "--lockstep",
                           BIN / "lockstep", "--model", SMOLLM2, "--rounds", "1", "--streams", "3",
                           "--prompt-tokens", "300"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^\| (lockstep.*?) \| (\d+) \| \d+ to \d+ \| ([\d.]+) \|$", done.stdout, re.M)
    assert [name for name, *_ in rows] == ["lockstep", "lockstep --itl-target-ms 0"]
    assert all(float(gap) > 0 and float(first) > 0 for _, gap, first in rows)


def test_what_host_memory_is_worth_is_measured():
    done = subprocess.run([sys.executable, BENCH / "host_tier.py", "--lockstep", BIN / "lockstep",
                           "--model", SMOLLM2, "--rounds", "1", "--turns", "2", "--prompt-tokens", "200"],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["tokens_loaded"] == 192 and figures["tokens_cached_without"] < 48
    assert figures["ttft_p50_ms_loaded"] > 0


def test_the_pause_of_a_stream_that_loses_its_node_is_measured():
    done = subprocess.run([sys.executable, BENCH / "resume_times.py", "--bin", BIN, "--model", SMOLLM2,
                           "--rounds", "1", "--tokens", "40", "--at", "20"],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = dict(re.findall(r"^(\w+) .*: ([\d.]+) s", done.stdout, re.M))
    assert list(found) == ["killed", "stopped", "cut", "drained"]
    assert all(float(t) > 0 for t in found.values())


def test_the_routing_policies_are_measured_under_three_loads():
    done = subprocess.run([sys.executable, BENCH / "routing.py", "--bin", BIN, "--model",
                           TINY / "tiny-9-f32.gguf", "--rounds", "1", "--think", "0.02",
                           "--blocks", "40", "--max-model-len", "512", "--prefix-tokens", "96",
                           "--tail-tokens", "16", "--conversations", "4", "--turns", "3",
                           "--turn-tokens", "16", "--groups", "4", "--group-requests", "3",
                           "--half-requests", "12", "--unique-tokens", "48", "--max-tokens", "4"],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    runs = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [(run["load"], run["router"]) for run in runs] == [
        (load, router) for load in ("conversations", "shared prefixes", "half shared")
        for router in ("cost", "round-robin", "least-load")]
    # Whatever the router, the prompts are the same: a conversation goes on with what was generated.
    assert {(run["load"], run["requests"], run["prompt_tokens"]) for run in runs} == {
        ("conversations", 12, 4 * (3 * 96 + 3 * (4 + 16))), ("shared prefixes", 12, 12 * 112),
        ("half shared", 12, 6 * 112 + 6 * 48)}
    assert all(0 < run["cached_tokens"] < run["prompt_tokens"] and run["ttft_p50_ms"] > 0 and
               1 <= run["requests_max_to_mean"] <= 3 for run in runs)
    hits = {(run["load"], run["router"]): run["cached_tokens"] for run in runs}
    assert hits["conversations", "cost"] > hits["conversations", "round-robin"]
    ratios = r"^\| (.*?) \| cost / round-robin \| [\d.]+ \| [\d.]+ \|$"
    assert re.findall(ratios, done.stdout, re.M) == ["conversations", "shared prefixes", "half shared"]


def test_what_the_coordinator_adds_to_a_request_is_measured():
    done = subprocess.run([sys.executable, BENCH / "coordinator_overhead.py", "--bin", BIN,
                           "--requests", "200"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["requests"] == 200 and figures["cpu_us"] > 0
    assert 0 < figures["direct_p50_ms"] < figures["coordinator_p50_ms"] <= figures["coordinator_p99_ms"]
