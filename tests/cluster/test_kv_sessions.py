"""Sessions on one engine: what one leaves behind never shows in another, and nothing stays in use."""

import concurrent.futures
import http.client
import json
import pathlib
import random
import re

import pytest
from lockstep_client import Client

from processes import SMOLLM2, TINY, cluster, metric, request, serve, total, wait_for

MODEL = TINY / "tiny-9-q8_0.gguf"


@pytest.fixture(scope="module")
def tiny():
    with cluster(MODEL, node_flags=("--max-model-len=512", "--num-kv-blocks=256", "--max-num-seqs=8",
                                    "--max-num-batched-tokens=64", "--sanitize-kv")) as c:
        yield c


def body(prompt, **fields):
    return dict(dict(model="m", prompt=prompt, max_tokens=32, temperature=0, ignore_eos=True,
                     return_token_ids=True), **fields)


def ask(c, prompt, **fields):
    status, answer = request(c.http, "POST", "/v1/completions", body(prompt, **fields))
    assert status == 200, answer
    usage = answer["usage"]
    return (answer["choices"][0]["token_ids"], usage["prompt_tokens"],
            usage["prompt_tokens_details"]["cached_tokens"])


def active_blocks(c):
    return metric(c.node_admins[0], "lockstep_kv_blocks", state="active")


def failures(c):
    text = request(c.node_admins[0], "GET", "/metrics")[1]
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
               if line.startswith("lockstep_decode_failures_total"))


@pytest.fixture(scope="module")
def smollm2():
    with serve(SMOLLM2, "--max-model-len", "512", "--num-kv-blocks", "64") as server:
        yield server


def say(server, prompt, **fields):
    """(ids, cached tokens, rows computed for it)"""
    rows = server.total("lockstep_engine_query_rows_total")
    status, answer = request(server.http, "POST", "/v1/completions",
                             body(prompt, **dict(dict(max_tokens=100), **fields)))
    assert status == 200, answer
    return (answer["choices"][0]["token_ids"],
            answer["usage"]["prompt_tokens_details"]["cached_tokens"],
            server.total("lockstep_engine_query_rows_total") - rows)


def test_a_prompt_of_two_tokens_works_the_second_and_the_third_time(smollm2):
    """Two tokens and 99 that were sampled are forwarded, each time: nothing of the last run is left."""
    runs = [say(smollm2, [19556, 905], cache_prompt=False) for _ in range(3)]
    assert len(runs[0][0]) == 100 and runs == [(runs[0][0], 0, 101)] * 3
    cached = [say(smollm2, [19556, 905]) for _ in range(3)]
    assert cached == [(runs[0][0], 0, 101)] + [(runs[0][0], 1, 100)] * 2
    wait_for(lambda: smollm2.blocks()["active"] == 0, what="idle")
    assert smollm2.blocks()["cached"] == 101 // 16
    assert smollm2.total("lockstep_decode_failures_total") == 0


def test_a_prompt_of_one_token_knows_nothing_of_the_conversation_before_it(smollm2):
    """The bug of another engine was silent: an answer went on from the previous conversation."""
    first = [say(smollm2, [19556])[0] for _ in range(3)]
    say(smollm2, list(range(700, 760)))
    assert [*first, say(smollm2, [19556])[0]] == [first[0]] * 4


def test_a_prompt_asked_again_after_another_is_cached_but_for_its_last_token(tiny):
    a, b = list(range(10, 50)), [7, 8, 9]
    first, n_prompt, n_cached = ask(tiny, a)
    assert (n_prompt, n_cached) == (40, 0)
    ask(tiny, b)
    assert ask(tiny, a) == (first, 40, 39)
    assert ask(tiny, a, cache_prompt=False) == (first, 40, 0)


def test_eight_sessions_at_once_equal_their_solo_runs_on_one_copy_of_the_weights(tiny):
    prompts = [[100 + i] * 3 + list(range(i, i + 30)) for i in range(8)]
    alone = [ask(tiny, prompt, max_tokens=200)[0] for prompt in prompts]
    request(tiny.node_admins[0], "POST", "/v1/clear_kv_cache")
    weights = metric(tiny.node_admins[0], "lockstep_memory_bytes", tag="weights")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        runs = [pool.submit(ask, tiny, prompt, max_tokens=200) for prompt in prompts]
        slots = request(tiny.node_admins[0], "GET", "/v1/slots")[1]["slots"]
        status, seen = request(tiny.node_admins[0], "POST", "/v1/clear_kv_cache")
        # Nothing is shared between them, so the blocks in use are those of the tables.
        assert status == 200 and seen["n_busy"] == sum(slot["n_blocks"] for slot in seen["busy"])
        assert len(slots) <= 8 and metric(
            tiny.node_admins[0], "lockstep_memory_bytes", tag="weights") == weights
        assert [run.result()[0] for run in runs] == alone
    wait_for(lambda: active_blocks(tiny) == 0, what="idle")


def leave(c, fields, read_first):
    """A streaming client that disconnects, before or after its first token."""
    connection = http.client.HTTPConnection("127.0.0.1", c.http, timeout=60)
    connection.request("POST", "/v1/completions", json.dumps(dict(fields, stream=True)),
                       {"Content-Type": "application/json"})
    if read_first:
        response = connection.getresponse()
        assert response.status == 200
        response.readline()
    connection.sock.close()
    connection.close()


def test_fifty_clients_that_disconnect_leave_no_block_in_use(tiny):
    def one(i):
        prompt = [i + 1] * (400 if i % 2 else 5)
        leave(tiny, body(prompt, max_tokens=100), read_first=i % 2 == 0)
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        list(pool.map(one, range(50)))
    wait_for(lambda: active_blocks(tiny) == 0 and metric(
        tiny.node_admins[0], "lockstep_sequences_waiting") == 0, seconds=10, what="no block in use")
    answers = {tuple(ask(tiny, [3, 4], max_tokens=100)[0]) for _ in range(3)}
    assert len(answers) == 1 and failures(tiny) == 0
    assert total(tiny.node_admins[0], "lockstep_kv_invariant_violations_total") == 0


def resident_mib(process):
    status = pathlib.Path(f"/proc/{process.child.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024


def test_five_thousand_tiny_requests_leak_nothing_and_break_no_account(tiny):
    def run(n_requests, seed):
        dice = random.Random(seed)
        with Client(tiny.zmq) as client:
            for _ in range(n_requests):
                usage = client.generate(model="m", prompt=[dice.randrange(1, 5) for _ in range(
                    dice.randrange(1, 30))], max_tokens=dice.randrange(1, 4), ignore_eos=True).usage
                assert 0 <= usage["cached_tokens"] < usage["prompt_tokens"]

    def crowd(n_requests, seed):
        with concurrent.futures.ThreadPoolExecutor(10) as pool:
            for done in [pool.submit(run, n_requests // 10, seed + i) for i in range(10)]:
                done.result()
    crowd(500, 100)
    before = resident_mib(tiny.nodes[0])
    crowd(4500, 200)
    assert resident_mib(tiny.nodes[0]) - before <= 4
    assert total(tiny.node_admins[0], "lockstep_kv_invariant_violations_total") == 0
    request(tiny.node_admins[0], "POST", "/v1/clear_kv_cache")
    wait_for(lambda: active_blocks(tiny) == 0, what="idle")
    assert metric(tiny.node_admins[0], "lockstep_kv_blocks", state="free") == 256
    assert failures(tiny) == 0
