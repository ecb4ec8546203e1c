"""Streams that go on at another node: what a client had and what the second node sends are together
the stream of the first node, at every index, over the node's own socket."""

import contextlib

import msgpack
import pytest
import zmq
from processes import BIN, SMOLLM2, Process, answers, free_port, metric, wait_for

N_TOKENS = 40
SAMPLED = {"prompt": "Once upon a time there was a clever little fox 🦊 who", "temperature": 0.9,
           "top_p": 0.95, "repetition_penalty": 1.1, "presence_penalty": 0.4,
           "frequency_penalty": 0.2, "seed": 77, "logprobs": 2, "min_tokens": 5,
           "stop": ["\n\n\n", "qqqq"]}
CHAT = {"messages": [{"role": "user", "content": "Write three emoji and say why."}],
        "temperature": 0, "seed": 1, "logprobs": 0, "ignore_eos": True}


class Node:
    def __init__(self, *flags):
        self.endpoint, self.admin = f"tcp://127.0.0.1:{free_port()}", free_port()
        self.process = Process(BIN / "lockstep-node", SMOLLM2, "--listen", self.endpoint, "--admin",
                               f"127.0.0.1:{self.admin}", "--served-model-name", "m",
                               "--max-model-len", "512", *flags)

    def wait_ready(self):
        def ready():
            assert self.process.child.poll() is None, self.process.output()
            return answers(self.admin)
        wait_for(ready, 120, "node ready")
        return self


@pytest.fixture(scope="module")
def nodes():
    """Two nodes of one fingerprint that differ in ranks, blocks and cache."""
    with contextlib.ExitStack() as stack:
        both = [Node("--tensor-parallel-size", "1"),
                Node("--tensor-parallel-size", "3", "--block-size", "8", "--no-cache-prompt")]
        for node in both:
            stack.callback(node.process.stop)
        yield [node.wait_ready() for node in both]


def run_all(node, requests):
    """All messages of each request, sent at once; each list ends with `done` or `error`."""
    socket = zmq.Context.instance().socket(zmq.DEALER)
    socket.setsockopt(zmq.RCVHWM, 0)
    socket.setsockopt(zmq.LINGER, 0)
    socket.connect(node.endpoint)
    for request_id, fields in requests.items():
        socket.send(msgpack.packb({"v": 1, "type": "generate", "request_id": request_id,
                                   "model": "m", **fields}))
    messages = {request_id: [] for request_id in requests}
    n_open = len(requests)
    while n_open:
        assert socket.poll(300_000), node.process.output()
        message = msgpack.unpackb(socket.recv())
        messages[message["request_id"]].append(message)
        n_open -= message["type"] in ("done", "error")
    socket.close()
    return messages


def stream_of(messages):
    """(ids, texts, logprobs) by token, finish reason, usage; each message has one token."""
    tokens = [m for m in messages if m["type"] == "tokens"]
    return {"ids": [i for m in tokens for i in m["ids"]],
            "texts": [m["text"] for m in tokens],
            "logprobs": [row for m in tokens for row in m.get("logprobs", [])],
            "finish": tokens[-1].get("finish_reason"),
            "stop": (tokens[-1].get("stop_string"), tokens[-1].get("stop_token")),
            "usage": messages[-1]["usage"]}


@pytest.mark.parametrize("fields", [SAMPLED, CHAT], ids=["sampled", "chat"])
def test_a_stream_goes_on_at_another_node_from_every_index(nodes, fields):
    first, second = nodes
    fields = dict(fields, max_tokens=N_TOKENS)
    whole = run_all(first, {"whole": fields})["whole"]
    assert whole[0]["type"] == "accepted" and whole[0]["max_tokens"] == N_TOKENS
    truth = stream_of(whole)
    n = len(truth["ids"])
    assert n == len(truth["texts"]) and n > 20
    resumed = run_all(second, {
        f"cut-{cut}": dict(fields, attempt=3, emitted=[{"ids": truth["ids"][:cut]}])
        for cut in range(n)})
    for cut in range(n):
        messages = resumed[f"cut-{cut}"]
        assert messages[-1]["type"] == "done", messages[-1]
        rest = stream_of(messages)
        tokens = [m for m in messages if m["type"] == "tokens"]
        assert tokens[0]["first_index"] == cut
        assert {m["attempt"] for m in tokens} == {3}
        assert rest["ids"] == truth["ids"][cut:], cut
        assert rest["texts"] == truth["texts"][cut:], cut
        assert rest["logprobs"] == truth["logprobs"][cut:], cut
        assert rest["finish"] == truth["finish"] and rest["stop"] == truth["stop"], cut
        assert rest["usage"]["completion_tokens"] == n
    assert metric(second.admin, "lockstep_resume_mismatches_total") == 0
    assert metric(second.admin, "lockstep_recomputed_tokens_total", cause="resume") > 0


def test_a_stream_that_cannot_have_been_emitted_is_refused_or_fails(nodes):
    _, second = nodes
    fields = dict(SAMPLED, max_tokens=N_TOKENS)
    whole = stream_of(run_all(nodes[0], {"whole": fields})["whole"])
    ids = whole["ids"][:20]
    answers_of = run_all(second, {
        "other": dict(fields, emitted=[{"ids": [*ids[:-1], ids[-1] + 1]}]),
        "long": dict(fields, max_tokens=4, min_tokens=0, emitted=[{"ids": ids}]),
        "choices": dict(fields, n=2, emitted=[{"ids": ids}]),
        "reason": dict(fields, emitted=[{"ids": ids, "finish_reason": "error"}]),
        "seedless": {k: v for k, v in dict(fields, emitted=[{"ids": ids}]).items() if k != "seed"}})
    last = {name: messages[-1] for name, messages in answers_of.items()}
    assert last["other"]["code"] == "decode_failed"
    assert last["other"]["message"].startswith("resume mismatch: output token 19 of choice 0")
    assert not any(m.get("ids") for m in answers_of["other"])
    assert (last["long"]["code"], last["long"]["param"]) == ("invalid_request", "emitted[0].ids")
    assert last["choices"]["param"] == "emitted"
    assert last["reason"]["param"] == "emitted[0].finish_reason"
    assert last["seedless"]["param"] == "seed"
    assert metric(second.admin, "lockstep_resume_mismatches_total") == 1
    assert metric(second.admin, "lockstep_decode_failures_total", cause="resume_mismatch",
                  outcome="failed") == 1
