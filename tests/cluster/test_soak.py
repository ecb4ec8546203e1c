"""Soak: random conversations, cancels and disconnects in a pool of a quarter of what they ask for.
No request fails, no account is wrong, no block is lost, memory does not grow, and answers are those
that the same requests get alone. LOCKSTEP_SOAK_SECONDS (120) is shared by the models.
"""

import os
import threading
import time

import pytest

from processes import SMOLLM2, TINY, request, serve, wait_for
from soak_clients import MAX_MODEL_LEN, SoakClient, ask_alone

TINY_9 = TINY / "tiny-9-q8_0.gguf"
# name: (file, ids of prompts, further flags)
MODELS = {"tiny-9": (TINY_9, range(8, 512), ()), "SmolLM2": (SMOLLM2, range(100, 49000), ()),
          "tiny-9 over host memory": (TINY_9, range(8, 512), ("--host-kv-bytes", "4000000"))}
SECONDS = float(os.environ.get("LOCKSTEP_SOAK_SECONDS", "120")) / len(MODELS)
N_CLIENTS, BLOCK_SIZE = 16, 16
# Prompt and answer are half of what may be, on average; the pool has room for a quarter of the clients.
N_BLOCKS = N_CLIENTS * MAX_MODEL_LEN // 2 // BLOCK_SIZE // 4
# Of resident memory. In 40,000 turns the bytes in use on the heap did not grow (malloc_stats: 2.07
# MiB, then 2.09); what the allocator keeps beside them levels off.
MAX_GROWTH_MIB = 2
SEED = 20250


def soak(server, vocabulary):
    """(the clients, their work done; MiB by which the server grew after the first third)"""
    stopping = threading.Event()
    clients = [SoakClient(server, SEED + i, vocabulary, stopping) for i in range(N_CLIENTS)]
    for client in clients:
        client.start()
    stopping.wait(SECONDS / 3)
    before = server.resident_mib()
    stopping.wait(SECONDS * 2 / 3)
    grown = server.resident_mib() - before
    stopping.set()
    for client in clients:
        client.join(300)
        assert not client.is_alive(), "a client waits for ever"
    for client in clients:
        if client.error:
            raise client.error
    return clients, grown


def nothing_is_left(server):
    wait_for(lambda: server.metric("lockstep_sequences_running") == 0
             and server.metric("lockstep_sequences_waiting") == 0, 30, "nothing runs")
    blocks = server.blocks()
    assert blocks["active"] == blocks["reserved"] == 0, blocks
    assert blocks["free"] + blocks["cached"] == N_BLOCKS, blocks
    assert server.metric("lockstep_kv_blocks", tier="host", state="pinned") == 0
    request(server.admin, "POST", "/v1/clear_kv_cache")
    assert server.blocks() == dict(free=N_BLOCKS, cached=0, reserved=0, active=0)


def nothing_went_wrong(server):
    assert server.total("lockstep_decode_failures_total") == 0
    assert server.total("lockstep_kv_invariant_violations_total") == 0
    assert server.total("lockstep_kv_host_mismatches_total") == 0
    for outcome in ("decode_failed", "deadline_exceeded", "internal"):
        assert server.metric("lockstep_coordinator_requests_total", outcome=outcome) == 0


def the_pool_was_too_small(server, is_tiered):
    """{figure: value}; a run without pressure would show nothing. The number of preemptions
    depends on the machine's speed; test_kv_pressure.py tests it."""
    figures = {name: server.total(f"lockstep_{name}_total") for name in (
        "preemptions", "recomputed_tokens", "kv_evictions", "kv_evict_regret_tokens",
        "prefix_cache_hit_tokens", "prefix_cache_lookup_tokens", "generation_tokens", "kv_transfers")}
    expected = ["kv_evictions", "prefix_cache_hit_tokens",
                "kv_transfers" if is_tiered else "kv_evict_regret_tokens"]
    for name in expected:
        assert figures[name] > 0, figures
    return figures


def check_sample(server, clients, seconds):
    """How many of the transcripts were compared with their solo runs, computed without the cache."""
    deadline, n_checked = time.monotonic() + seconds, 0
    kept = [transcript for place in zip(*(client.kept for client in clients)) for transcript in place]
    for transcript in kept:
        if n_checked >= N_CLIENTS and time.monotonic() > deadline:
            break
        solo = ask_alone(server, dict(transcript.body, cache_prompt=False))
        difference = transcript.differs_from(solo)
        assert difference is None, f"{transcript.body}: {difference}"
        n_checked += 1
    return n_checked


@pytest.mark.parametrize("name", MODELS)
def test_random_conversations_under_pressure(name, capsys):
    model, vocabulary, more_flags = MODELS[name]
    flags = (*more_flags, "--max-model-len", MAX_MODEL_LEN, "--num-kv-blocks", N_BLOCKS, "--max-num-seqs",
             N_CLIENTS, "--max-num-batched-tokens", "128", "--sanitize-kv", "--verbosity", "0")
    with serve(model, *flags) as server:
        clients, grown = soak(server, vocabulary)
        figures = the_pool_was_too_small(server, is_tiered=bool(more_flags))
        nothing_is_left(server)
        nothing_went_wrong(server)
        n_checked = check_sample(server, clients, max(5, SECONDS / 4))
        turns = {way: sum(client.n_turns[way] for client in clients) for way in SoakClient.WAYS}
        with capsys.disabled():
            print(f"\nsoak of {name}: seeds {SEED} to {SEED + N_CLIENTS - 1}, {SECONDS:.0f} s, "
                  f"turns {turns}, {n_checked} equal their solo runs, grown by {grown:.1f} MiB,",
                  ", ".join(f"{k} {v:.0f}" for k, v in figures.items()))
        assert grown <= MAX_GROWTH_MIB
        assert min(turns.values()) > 0
