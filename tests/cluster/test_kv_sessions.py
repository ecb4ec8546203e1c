"""Sessions on one engine: what one leaves behind never shows in another, and nothing stays in use."""

import concurrent.futures
import http.client
import json

import pytest

from processes import TINY, cluster, metric, request, wait_for

MODEL = TINY / "tiny-9-q8_0.gguf"


@pytest.fixture(scope="module")
def tiny():
    with cluster(MODEL, node_flags=("--max-model-len=512", "--num-kv-blocks=256", "--max-num-seqs=8",
                                    "--max-num-batched-tokens=64")) as c:
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


def test_a_prompt_asked_again_after_another_is_cached_and_answered_the_same(tiny):
    a, b = list(range(10, 50)), [7, 8, 9]
    first, n_prompt, n_cached = ask(tiny, a)
    assert (n_prompt, n_cached) == (40, 0)
    ask(tiny, b)
    again, n_prompt, n_cached = ask(tiny, a)
    assert (again, n_prompt) == (first, 40)
    assert n_cached in (32, 39)  # whole blocks, or to the token
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
    """A streaming client that goes away without a word, before or after its first token."""
    connection = http.client.HTTPConnection("127.0.0.1", c.http, timeout=60)
    connection.request("POST", "/v1/completions", json.dumps(dict(fields, stream=True)))
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
    assert metric(tiny.node_admins[0], "lockstep_kv_invariant_violations_total") == 0
