"""PyPI's cache-pressure against `lockstep serve`: each of its commands passes. The pool is a
quarter of what the command core asks for; the other commands find it full of core's blocks.
"""

import json
import pathlib
import subprocess
import sys

import pytest

from processes import SMOLLM2, request, serve, wait_for

TOOL = pathlib.Path(__file__).with_name("cache_pressure_tool.py")
POOL = 2048  # tokens, in blocks of 16
N_CONTEXTS, CONTEXT = 20, 400


@pytest.fixture(scope="module")
def server():
    # A seed, for needle-test: SmolLM2 finds few needles, but the same ones each time.
    with serve(SMOLLM2, "--max-model-len", "1024", "--num-kv-blocks", POOL // 16, "--seed", "1") as s:
        yield s


def run(server, command, *arguments):
    """What the tool said and the server's evictions meanwhile; the tool must exit 0."""
    before = server.total("lockstep_kv_evictions_total")
    done = subprocess.run([sys.executable, TOOL, command, "--base-url",
                           f"http://127.0.0.1:{server.http}/v1", *map(str, arguments)],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, server.total("lockstep_kv_evictions_total") - before


def test_cache_pressure_finds_what_it_used_last(server, tmp_path):
    _, n_evicted = run(server, "core", "--kv-size", POOL, "--context-tokens", CONTEXT, "--num-contexts",
                       N_CONTEXTS, "--output", tmp_path / "result.json")
    result = json.loads((tmp_path / "result.json").read_text())
    asked = sum(context["prompt_tokens"] for context in result["hydrate"])
    assert asked > 3.5 * POOL and n_evicted > (asked - POOL) / 16 / 2
    assert [context["error"] for context in result["hydrate"] + result["verify"]
            if context["error"]] == []
    assert result["retained"] >= 1


def test_abort_sim_goes_on_from_what_it_aborted(server):
    said, _ = run(server, "abort_sim", "--context-tokens", "300", "--thinking-tokens", "12",
                  "--max-tokens", "64", "--runs", "4", "--salt", "5", "--min-reuse", "0.7")
    assert "runs passed: 4/4" in said


def test_agent_sim_finds_its_main_contexts_again(server):
    """Times are not judged: the machine may be busy."""
    said, n_evicted = run(server, "agent_sim", "--sessions", "3", "--main-tokens", "210",
                          "--step-tokens", "70", "--sub-tokens", "60", "--sub-windows", "2",
                          "--finalize-tokens", "40", "--max-tokens", "8", "--salt", "5", "--no-viz",
                          "--ttft-ratio", "1000")
    assert "FINALIZE survival: 3/3" in said and n_evicted > 0, said


def test_agent_sim_finds_them_in_host_memory_where_the_pool_is_a_quarter_of_its_load():
    with serve(SMOLLM2, "--max-model-len", "1024", "--num-kv-blocks", POOL // 16, "--seed", "1",
               "--host-kv-bytes", "400000000") as tiered:
        said, n_evicted = run(tiered, "agent_sim", "--sessions", "8", "--main-tokens", "700",
                              "--step-tokens", "100", "--sub-tokens", "200", "--sub-windows", "2",
                              "--finalize-tokens", "40", "--max-tokens", "8", "--salt", "5",
                              "--no-viz", "--ttft-ratio", "1000")
        assert "FINALIZE survival: 8/8" in said and n_evicted > 3 * POOL / 16, said
        assert tiered.metric("lockstep_kv_transfers_total", direction="load") > 0
        assert tiered.metric("lockstep_kv_host_mismatches_total") == 0


def test_needle_test_finds_its_needles(server):
    said, _ = run(server, "needle", "--lengths", "100,200", "--needle-pos", "0.97", "--salt", "20",
                  "--max-tokens", "48", "--tokens-per-char", "0.25")
    assert "2/2 needles found" in said


def test_nothing_failed_and_nothing_is_left(server):
    wait_for(lambda: server.blocks()["active"] == 0, 10, "nothing in use")
    assert server.total("lockstep_decode_failures_total") == 0
    assert server.total("lockstep_kv_invariant_violations_total") == 0
    request(server.admin, "POST", "/v1/clear_kv_cache")
    assert server.blocks()["free"] == POOL // 16
