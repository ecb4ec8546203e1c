"""A pool that is too small for everybody at once: requests wait, none fails, and no answer changes."""

import concurrent.futures
import threading
import time

import pytest

from processes import SMOLLM2, TINY, cluster, metric, request, stream, wait_for

TINY_MODEL = TINY / "tiny-9-q8_0.gguf"
TEXT = "The river rises in the hills, runs past two mills and a stone bridge, and ends in the lake. " * 14
N_CLIENTS, N_TURNS = 6, 5


def ask(c, prompt, **fields):
    body = dict(dict(model="m", prompt=prompt, max_tokens=24, temperature=0, ignore_eos=True,
                     return_token_ids=True), **fields)
    return request(c.http, "POST", "/v1/completions", body)


def conversation(c):
    """Every turn sends the same text again, after all that was said."""
    messages, said = [], []
    for _ in range(N_TURNS):
        messages.append({"role": "user", "content": TEXT})
        status, answer = request(c.http, "POST", "/v1/chat/completions", dict(
            model="m", messages=messages, max_tokens=48, temperature=0), timeout=500)
        assert status == 200, answer
        text = answer["choices"][0]["message"]["content"]
        messages.append({"role": "assistant", "content": text})
        said.append((text, answer["usage"]["prompt_tokens"]))
    return said


def failures(c):
    text = request(c.node_admins[0], "GET", "/metrics")[1]
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
               if line.startswith("lockstep_decode_failures_total"))


def test_six_clients_of_five_turns_in_a_pool_for_two_get_what_one_alone_gets():
    with cluster(SMOLLM2, node_flags=("--max-model-len=2048", "--num-kv-blocks=256",
                                      "--max-num-seqs=4")) as c:
        admin, peak, over = c.node_admins[0], [0], threading.Event()

        def watch():
            while not over.is_set():
                peak[0] = max(peak[0], metric(admin, "lockstep_sequences_waiting"))
                time.sleep(0.02)
        watcher = threading.Thread(target=watch)
        watcher.start()
        with concurrent.futures.ThreadPoolExecutor(N_CLIENTS) as pool:
            crowd = list(pool.map(lambda _: conversation(c), range(N_CLIENTS)))
        over.set()
        watcher.join()
        request(admin, "POST", "/v1/clear_kv_cache")
        alone = conversation(c)
        assert crowd == [alone] * N_CLIENTS
        assert 1500 < alone[-1][1] < 2000
        assert peak[0] >= 2 and failures(c) == 0
        assert metric(admin, "lockstep_kv_invariant_violations_total") == 0


@pytest.fixture(scope="module")
def small():
    with cluster(TINY_MODEL, node_flags=("--max-model-len=512", "--num-kv-blocks=20")) as c:
        yield c


def states(c):
    return {state: metric(c.node_admins[0], "lockstep_kv_blocks", state=state)
            for state in ("free", "cached", "active", "promised")}


def test_what_can_never_fit_is_refused_with_its_numbers_and_neighbours_do_not_notice(small):
    prompts = [[i + 1, i + 2] for i in range(3)]
    alone = [ask(small, p, max_tokens=80)[1]["choices"][0]["token_ids"] for p in prompts]
    running = [stream(small.http, "/v1/completions",
                      dict(model="m", prompt=p, max_tokens=80, temperature=0, ignore_eos=True,
                           return_token_ids=True)) for p in prompts]
    ids = [list(next(r)["choices"][0]["token_ids"]) for r in running]
    for n_prompt, code, numbers in ((600, "context_length_exceeded", ("600", "512")),
                                    (400, "request_exceeds_kv_pool", ("400", "20", "16"))):
        status, answer = ask(small, [5] * n_prompt)
        assert status == 400 and answer["error"]["code"] == code, answer
        assert [n for n in numbers if n not in answer["error"]["message"]] == []
    for mine, events in zip(ids, running):
        for event in events:
            mine += [t for choice in event["choices"] for t in choice.get("token_ids") or []]
    assert ids == alone
    wait_for(lambda: states(small)["active"] == 0, what="idle")
    before = states(small)
    assert ask(small, [5] * 600)[0] == ask(small, [5] * 400)[0] == 400
    assert states(small) == before, "a refusal takes no block"


def test_without_the_prompt_cache_nothing_is_kept_and_nothing_changes(small):
    prompt = list(range(20, 70))
    cached = [ask(small, prompt)[1] for _ in range(2)]
    assert cached[1]["usage"]["prompt_tokens_details"]["cached_tokens"] > 0
    with cluster(TINY_MODEL, node_flags=("--max-model-len=512", "--num-kv-blocks=20",
                                         "--no-cache-prompt")) as c:
        for _ in range(5):
            status, answer = ask(c, prompt)
            assert status == 200 and answer["choices"] == cached[0]["choices"]
            assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
        wait_for(lambda: states(c) == dict(free=20, cached=0, active=0, promised=0), 10, "all free")
        assert metric(c.node_admins[0], "lockstep_prompt_tokens_total", source="cached") == 0
