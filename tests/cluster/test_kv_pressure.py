"""A pool too small for all requests at once: they wait, none fails, and no answer changes."""

import concurrent.futures
import re
import threading

import pytest

from processes import SMOLLM2, TINY, cluster, metric, request, stream, total, wait_for

TINY_MODEL = TINY / "tiny-9-q8_0.gguf"
TEXT = "The river rises in the hills, runs past two mills and a stone bridge, and ends in the lake. " * 14
N_CLIENTS, N_TURNS, N_SEQUENCES = 6, 5, 4


def ask(c, prompt, **fields):
    body = dict(dict(model="m", prompt=prompt, max_tokens=24, temperature=0, ignore_eos=True,
                     return_token_ids=True), **fields)
    return request(c.http, "POST", "/v1/completions", body)


def conversation(c, text=TEXT):
    """Every turn sends the same text again, after all that was said."""
    messages, said = [], []
    for _ in range(N_TURNS):
        messages.append({"role": "user", "content": text})
        status, answer = request(c.http, "POST", "/v1/chat/completions", dict(
            model="m", messages=messages, max_tokens=48, temperature=0), timeout=500)
        assert status == 200, answer
        answered = answer["choices"][0]["message"]["content"]
        messages.append({"role": "assistant", "content": answered})
        said.append((answered, answer["usage"]["prompt_tokens"]))
    return said


def failures(c):
    text = request(c.node_admins[0], "GET", "/metrics")[1]
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
               if line.startswith("lockstep_decode_failures_total"))


class Watcher(threading.Thread):
    """Looks at the queue every 20 ms while the block runs: peak, and n_deferred, how often it saw
    a request wait although fewer than --max-num-seqs ran."""

    def __init__(self, c):
        super().__init__()
        self.c, self.peak, self.n_deferred, self.over = c, 0, 0, threading.Event()

    def run(self):
        while not self.over.wait(0.02):
            page = request(self.c.node_admins[0], "GET", "/metrics")[1]
            waiting, running = (float(re.search(rf"^lockstep_sequences_{what} (\S+)", page, re.M)[1])
                                for what in ("waiting", "running"))
            self.peak = max(self.peak, waiting)
            self.n_deferred += waiting > 0 and running < N_SEQUENCES

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()


def in_a_crowd(c, texts):
    """([the answers of each client], the watcher)"""
    with Watcher(c) as seen, concurrent.futures.ThreadPoolExecutor(N_CLIENTS) as pool:
        return list(pool.map(lambda text: conversation(c, text), texts)), seen


def alone(c, text):
    request(c.node_admins[0], "POST", "/v1/clear_kv_cache")
    said = conversation(c, text)
    assert 1500 < said[-1][1] < 2000
    return said


@pytest.fixture
def pool_for_two():
    with cluster(SMOLLM2, node_flags=("--max-model-len=2048", "--num-kv-blocks=256",
                                      f"--max-num-seqs={N_SEQUENCES}")) as c:
        yield c
        assert failures(c) == 0
        assert total(c.node_admins[0], "lockstep_kv_invariant_violations_total") == 0


def test_six_clients_of_five_turns_in_a_pool_for_two_get_what_one_alone_gets(pool_for_two):
    crowd, seen = in_a_crowd(pool_for_two, [TEXT] * N_CLIENTS)
    assert crowd == [alone(pool_for_two, TEXT)] * N_CLIENTS
    assert seen.peak >= 2


def test_six_clients_that_share_nothing_feel_the_pressure_and_get_what_each_alone_gets(pool_for_two):
    texts = [f"{word} {TEXT}" for word in ("Red", "Blue", "Green", "White", "Black", "Brown")]
    crowd, seen = in_a_crowd(pool_for_two, texts)
    admin = pool_for_two.node_admins[0]
    assert metric(admin, "lockstep_preemptions_total") + seen.n_deferred >= 1
    assert metric(admin, "lockstep_kv_evictions_total") >= 1
    assert crowd == [alone(pool_for_two, text) for text in texts]


@pytest.fixture(scope="module")
def small():
    with cluster(TINY_MODEL, node_flags=("--max-model-len=512", "--num-kv-blocks=20")) as c:
        yield c


def states(c):
    return {state: metric(c.node_admins[0], "lockstep_kv_blocks", state=state)
            for state in ("free", "cached", "active", "reserved")}


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
        wait_for(lambda: states(c) == dict(free=20, cached=0, active=0, reserved=0), 10, "all free")
        assert metric(c.node_admins[0], "lockstep_prompt_tokens_total", source="cached") == 0
