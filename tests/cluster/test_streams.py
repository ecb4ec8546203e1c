"""Many clients at once, over HTTP and ZeroMQ: every answer equals its solo run."""

import concurrent.futures
import socket
import json

import pytest
from lockstep_client import Client
from processes import SMOLLM2, TINY, cluster, request, stream, wait_for

PROMPTS = ["Hello", "The capital of France is", "a", "1, 1, 2, 3, 5, 8,", "def f(x):\n",
           "Once upon a time", "x " * 40, "Water boils at"] * 2


@pytest.fixture(scope="module")
def tiny():
    with cluster(TINY / "tiny-9-q8_0.gguf", node_flags=["--max-model-len", "512"]) as c:
        yield c


def body(prompt, i=0, **extra):
    """Half of the prompts greedy, half drawn with their own seed."""
    return dict({"model": "m", "prompt": prompt, "max_tokens": 40, "ignore_eos": True,
                 "temperature": 0 if i % 2 == 0 else 0.9, "seed": 1000 + i,
                 "return_token_ids": True}, **extra)


def solo(c, prompt, i):
    status, answer = request(c.http, "POST", "/v1/completions", body(prompt, i))
    assert status == 200, answer
    return answer["choices"][0]


def streamed(c, prompt, i):
    events = list(stream(c.http, "/v1/completions", body(prompt, i)))
    ids = [t for e in events for ch in e["choices"] for t in ch.get("token_ids") or []]
    return "".join(ch["text"] for e in events for ch in e["choices"]), ids


def over_zmq(c, prompt, i):
    fields = body(prompt, i)
    with Client(c.zmq) as client:
        pieces = list(client.stream(**fields))
    return "".join(p.text for p in pieces), [t for p in pieces for t in p.ids]


def test_sixteen_http_and_sixteen_zmq_streams_equal_their_solo_runs(tiny):
    alone = [solo(tiny, p, i) for i, p in enumerate(PROMPTS)]
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        http = [pool.submit(streamed, tiny, p, i) for i, p in enumerate(PROMPTS)]
        zmq = [pool.submit(over_zmq, tiny, p, i) for i, p in enumerate(PROMPTS)]
        for i, choice in enumerate(alone):
            expected = (choice["text"], choice["token_ids"])
            assert http[i].result() == expected
            assert zmq[i].result() == expected
    assert len({tuple(choice["token_ids"]) for choice in alone}) > 8


def test_the_hundredth_generation_equals_the_first(tiny):
    for prompt in ([5], "a longer prompt of several tokens"):
        first = solo(tiny, prompt, 1)
        for n in range(99):
            assert solo(tiny, prompt, 1) == first, f"generation {n + 2}"


def test_choices_of_one_request_differ_and_repeat(tiny):
    ask = body("Hello", 1, n=4)
    answers = [request(tiny.http, "POST", "/v1/completions", ask)[1] for _ in range(2)]
    texts = [[c["text"] for c in a["choices"]] for a in answers]
    assert texts[0] == texts[1] and len(set(texts[0])) == 4
    assert [c["index"] for c in answers[0]["choices"]] == [0, 1, 2, 3]
    assert answers[0]["usage"]["completion_tokens"] == 160


def test_blocks_of_clients_that_hang_up_come_back(tiny):
    for n in range(8):
        payload = json.dumps(body("Hello", n, stream=True, max_tokens=400)).encode()
        with socket.create_connection(("127.0.0.1", tiny.http)) as s:
            s.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
                      b"Content-Type: application/json\r\nContent-Length: "
                      + str(len(payload)).encode() + b"\r\n\r\n" + payload)
            if n % 2 == 0:
                assert b"200" in s.recv(64)
    wait_for(lambda: tiny.blocks_in_use() == 0, 10, "blocks of hung-up clients free")
    assert solo(tiny, "Hello", 0) == solo(tiny, "Hello", 0)


def test_smollm2_answers_the_same_at_every_tensor_parallel_degree():
    answers = []
    for ranks in (1, 2, 3):
        with cluster(SMOLLM2, node_flags=["--tensor-parallel-size", str(ranks), "--max-model-len",
                                          "512"]) as c:
            ask = {"model": "m", "max_tokens": 24, "temperature": 0, "logprobs": True,
                   "top_logprobs": 5, "messages": [{"role": "user", "content": "Are dogs real?"}]}
            answers.append(request(c.http, "POST", "/v1/chat/completions", ask)[1]["choices"])
    assert answers[0] == answers[1] == answers[2]
    assert len(answers[0][0]["message"]["content"]) > 10
