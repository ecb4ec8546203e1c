"""The scripts in bench/ that need a server alone run, on a small case. docs/performance.md has
what they measure.
"""

import json
import pathlib
import re
import subprocess
import sys

from processes import BIN, SMOLLM2

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
    assert list(found) == ["killed", "stopped", "drained"] and all(float(t) > 0 for t in found.values())
