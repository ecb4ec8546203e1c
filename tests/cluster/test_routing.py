"""Where requests go, on three real nodes: conversations return to their cache, a prefix that many
share spreads, and the coordinator says why."""

import collections
import concurrent.futures
import http.client
import json
import random
import subprocess
import time

import pytest

from processes import BIN, TINY, cluster, metric, request, total

MODEL = TINY / "tiny-9-f32.gguf"
NODE_FLAGS = ("--max-model-len", "512", "--num-kv-blocks", "96")


def three_nodes(policy):
    return cluster(MODEL, nodes=3, events=True, node_flags=NODE_FLAGS,
                   coordinator_flags=("--seed", "1", "--policy", policy))


def ask(c, prompt, **fields):
    status, answer = request(c.http, "POST", "/v1/completions",
                             dict(model="m", prompt=prompt, max_tokens=8, ignore_eos=True,
                                  return_token_ids=True, **fields))
    assert status == 200, answer
    return answer


def converse(c, seed, n_turns=5):
    """One conversation; the ids of all its answers."""
    rng = random.Random(seed)
    prompt, outputs = [rng.randrange(1, 90) for _ in range(40)], []
    for _ in range(n_turns):
        outputs.append(ask(c, prompt)["choices"][0]["token_ids"])
        prompt = prompt + outputs[-1] + [rng.randrange(1, 90) for _ in range(24)]
    return outputs


def conversations(policy, n=15):
    """(answers, prompt tokens read from a cache) of conversations of which some run at a time"""
    with three_nodes(policy) as c:
        with concurrent.futures.ThreadPoolExecutor(5) as pool:
            outputs = list(pool.map(lambda seed: converse(c, seed), range(n)))
        cached = metric(c.admin, "lockstep_coordinator_prompt_tokens_total", source="cached")
        reasons = decisions(c)
    return outputs, cached, reasons


def decisions(c):
    """{reason: requests}"""
    page = request(c.admin, "GET", "/metrics")[1]
    return {line.split('reason="')[1].split('"')[0]: float(line.rsplit(" ", 1)[1])
            for line in page.splitlines() if line.startswith("lockstep_route_decisions_total{")}


def test_conversations_return_to_their_cache_and_answers_are_the_same():
    by_cost, hits, reasons = conversations("cost")
    in_turn, hits_in_turn, _ = conversations("round-robin")
    assert by_cost == in_turn
    ideal = 15 * (32 + 64 + 96 + 128)  # the full blocks of all that came before, in each later turn
    assert ideal >= hits >= 0.7 * ideal and hits > hits_in_turn, (hits, hits_in_turn)
    assert reasons["prefix"] >= 30, reasons  # of 60 later turns


def routed(c, prompt, request_id="r", max_tokens=8):
    """(receipt, seconds) of one request"""
    connection = http.client.HTTPConnection("127.0.0.1", c.http, timeout=120)
    begun = time.monotonic()
    connection.request("POST", "/v1/completions",
                       json.dumps(dict(model="m", prompt=prompt, max_tokens=max_tokens)),
                       {"Content-Type": "application/json", "X-Request-Id": request_id,
                        "X-Route-Receipt": "1"})
    response = connection.getresponse()
    text = response.read()
    connection.close()
    assert response.status == 200, text
    (receipt,) = json.loads(response.getheader("X-Route-Receipt"))
    return receipt, time.monotonic() - begun


def test_a_prefix_that_half_of_the_requests_share_spreads():
    rng = random.Random(5)
    shared = [rng.randrange(1, 90) for _ in range(160)]
    prompts = [(shared if i % 2 else [rng.randrange(1, 90) for _ in range(160)]) +
               [rng.randrange(1, 90) for _ in range(20)] for i in range(240)]
    load = collections.Counter()  # seconds of sequences at the node
    with three_nodes("cost") as c:
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            for receipt, seconds in pool.map(lambda prompt: routed(c, prompt), prompts):
                load[receipt["node"]] += seconds
                sequences = {at["node"]: at["sequences"] for at in receipt["candidates"]}
                share = (sum(sequences.values()) + 1) / 3
                assert sequences[receipt["node"]] + 1 <= max(3, 1.125 * share, share + 1), receipt
    assert len(load) == 3 and max(load.values()) <= 1.3 * sum(load.values()) / 3, load


def test_a_session_stays_at_one_node():
    with three_nodes("session") as c:
        for session in range(4):
            nodes = set()
            for _ in range(3):
                key = f"s{session}"
                ask(c, [random.Random(session).randrange(1, 90) for _ in range(40)],
                    prompt_cache_key=key)
                nodes.add(tuple(total(admin, "lockstep_generation_tokens_total")
                                for admin in c.node_admins).index(
                          max(total(admin, "lockstep_generation_tokens_total")
                              for admin in c.node_admins)))
        assert decisions(c) == {"session": 12}


@pytest.mark.parametrize("policy", ["least-load", "p2c"])
def test_load_is_spread(policy):
    with three_nodes(policy) as c:
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda i: ask(c, [i + 1] * 30), range(30)))
        served = [total(admin, "lockstep_generation_tokens_total") for admin in c.node_admins]
        assert sum(served) == 240 and min(served) > 0, served
        assert decisions(c) == {"load": 30}


def test_why_names_every_candidate():
    with three_nodes("cost") as c:
        receipt, _ = routed(c, [1] * 40, "mine/1", 2)
        assert [receipt["prompt_tokens"], len(receipt["candidates"])] == [40, 3]
        why = subprocess.run([BIN / "lockstep", "why", "mine/1", "--admin",
                              f"127.0.0.1:{c.admin}"], capture_output=True, text=True, timeout=60)
        assert why.returncode == 0, why.stderr
        for endpoint in c.endpoints:
            assert endpoint in why.stdout, why.stdout
        assert "40 prompt tokens" in why.stdout and f">{receipt['node']}" in why.stdout
        unknown = subprocess.run([BIN / "lockstep", "why", "other", "--admin",
                                  f"127.0.0.1:{c.admin}"], capture_output=True, text=True,
                                 timeout=60)
        assert unknown.returncode == 1 and "no route of this request" in unknown.stderr
