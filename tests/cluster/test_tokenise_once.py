"""Prompts that the coordinator tokenises: the node gets ids, and the client gets what it would get
from the node itself."""

import contextlib
import itertools
import random
import threading

import msgpack
import pytest
import zmq

from processes import SMOLLM2, TINY, cluster, metric, request, wait_for

MODEL = TINY / "tiny-9-q8_0.gguf"
_ids = itertools.count()


@pytest.fixture(scope="module")
def c():
    with cluster(MODEL, node_flags=["--max-model-len", "512"]) as c:
        yield wait_tokenises(c)


def n_prompts(c, outcome):
    return metric(c.admin, "lockstep_coordinator_prompts_total", outcome=outcome)


def n_received(c, form):
    return sum(metric(admin, "lockstep_prompts_total", form=form) for admin in c.node_admins)


def wait_tokenises(c):
    def does():
        before = n_prompts(c, "encoded")
        run(c.zmq, prompt="x", max_tokens=1)
        return n_prompts(c, "encoded") == before + 1
    wait_for(does, what="the coordinator has the text model")
    return c


def node_endpoint(c, idx=0):
    command = c.node_commands[idx]
    return command[command.index("--listen") + 1]


@contextlib.contextmanager
def dealer(endpoint):
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    try:
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(endpoint)
        yield socket
    finally:
        socket.close()
        context.term()


def run(endpoint, **fields):
    """Every message of one request, without what differs between two requests that are the same."""
    fields = {"model": "m", "seed": 7, "max_tokens": 8, "return_token_ids": True} | fields
    request_id = f"r{next(_ids)}"
    with dealer(endpoint) as socket:
        socket.send(msgpack.packb({"v": 1, "type": "generate", "request_id": request_id, **fields}))
        messages = []
        while not messages or messages[-1]["type"] not in ("done", "error"):
            assert socket.poll(60_000), messages
            message = msgpack.unpackb(socket.recv())
            assert message.pop("request_id") == request_id
            for varying in ("epoch", "attempt", "resume_token", "fingerprint"):
                message.pop(varying, None)
            messages.append(message)
    return messages


def joined(messages):
    """Tokens may come in one message or in several."""
    out, ids, text, logprobs = [], [], "", []
    for message in messages:
        if message["type"] != "tokens":
            out.append(message)
            continue
        ids += message["ids"]
        text += message["text"]
        logprobs += message.get("logprobs", [])
        out += [{k: message[k]} for k in ("finish_reason", "stop_token") if k in message]
    return out + [ids, text, logprobs]


def both(c, salt="", **fields):
    """The answers of the node itself and through the coordinator; each has a cache of its own."""
    direct = run(node_endpoint(c), cache_salt=f"direct{salt}", **fields)
    through = run(c.zmq, cache_salt=f"through{salt}", **fields)
    return joined(direct), joined(through)


def random_text(rng):
    parts = ["Hello", " world", "\n", "  ", "é", "中文", "🙂", "👩‍👩‍👧", "<|im_end|>", "<|im_start|>",
             "<think>", "<|im_", "\u0000", "\u0301", "123", "'ll", "\ufffd"]
    return "".join(rng.choice(parts) for _ in range(rng.randint(0, 60)))


def test_texts_and_chats_give_what_the_node_gives_and_the_node_gets_ids(c):
    rng = random.Random(1)
    texts, chats = n_received(c, "text"), n_received(c, "chat")
    n_before = n_received(c, "ids")
    prompts = [{"prompt": random_text(rng) + "x", "add_special_tokens": rng.random() < 0.5,
                "logprobs": rng.choice([-1, 2])} for _ in range(12)]
    prompts += [{"messages": [{"role": rng.choice(["user", "assistant", "system", "odd"]),
                               "content": random_text(rng)} for _ in range(rng.randint(1, 5))]}
                for _ in range(12)]
    for prompt in prompts:
        direct, through = both(c, **prompt)
        assert direct == through, prompt
    assert n_received(c, "text") == texts + 12 and n_received(c, "chat") == chats + 12, "direct ones"
    assert n_received(c, "ids") == n_before + 24


def test_the_cache_receipts_are_the_same(c):
    chat = {"messages": [{"role": "user", "content": "The quick brown fox " * 12}]}
    for expected in ("never_seen", "hit"):
        direct, through = both(c, salt="receipt", **chat)
        assert direct == through
        receipt = next(m for m in through if isinstance(m, dict) and "usage" in m)
        assert receipt["cache_receipt"]["outcome"] == expected


@pytest.mark.parametrize("fields", [
    {"prompt": ""},
    {"messages": []},
    {"prompt": "word " * 700},
    {"prompt": "x" * 600_000},
    {"messages": [{"role": "user", "content": "word " * 700}]},
    {"messages": [{"role": "user", "content": "x" * 600_000}]},
    {"prompt": "fits", "max_tokens": 5000},
    {"prompt": [1, 2, 99_999_999]},
    {"prompt": []},
    {"prompt": "x", "temperature": -1},
], ids=lambda fields: str(fields)[:40])
def test_refusals_are_those_of_the_node(c, fields):
    direct, through = both(c, **fields)
    assert direct == through
    assert direct[0]["type"] == "error", direct


def test_an_http_body_of_16_mib_is_refused_as_by_the_node_while_others_are_answered(c):
    text = "word " * (3 << 20)
    answers = []

    def ask():
        answers.append(request(c.http, "POST", "/v1/completions",
                               {"model": "m", "prompt": text, "max_tokens": 1}))
    thread = threading.Thread(target=ask)
    thread.start()
    n = 0
    while thread.is_alive():
        status, _ = request(c.http, "POST", "/v1/completions",
                            {"model": "m", "prompt": f"short {n}", "max_tokens": 1})
        assert status == 200
        n += 1
    thread.join()
    status, answer = answers[0]
    assert status == 400 and answer["error"]["code"] == "context_length_exceeded", answer
    assert answer["error"]["param"] == "prompt" and "which are at least" in answer["error"]["message"]


def test_a_node_that_restarts_with_another_tokenizer_gets_ids_of_the_new_one():
    with cluster(MODEL, node_flags=["--max-model-len", "512"]) as c:
        wait_tokenises(c)
        c.nodes[0].stop()
        command = list(c.node_commands[0])
        command[1] = SMOLLM2
        c.node_commands[0] = tuple(command)
        c.restart_node(0)
        c.wait_ready()
        wait_tokenises(c)
        before = n_received(c, "ids")
        chat = {"messages": [{"role": "user", "content": "Hello, world! 🙂"}]}
        direct, through = both(c, **chat)
        assert direct == through
        assert n_received(c, "ids") == before + 1


def test_control_tokens_in_content_count_as_at_the_node():
    flags = ["--max-model-len", "512", "--allow-control-tokens-in-content"]
    with cluster(MODEL, node_flags=flags) as c:
        wait_tokenises(c)
        chat = {"messages": [{"role": "user", "content": "hi<|im_end|>"}]}
        direct, through = both(c, **chat)
        assert direct == through
        ids = next(m for m in through if isinstance(m, dict) and m.get("prompt_token_ids"))
        assert ids["prompt_token_ids"].count(2) == 2
