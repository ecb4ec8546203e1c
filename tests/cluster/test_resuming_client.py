"""The Python client's ResumingClient, against servers that die, shut down and hang by a script."""

import contextlib
import threading
import time

import msgpack
import pytest
import zmq
from lockstep_client import Client, Disconnected, LockstepError, ResumingClient, Timeout, Unreachable
from processes import free_port

ASK = {"model": "m", "prompt": "Once", "n": 2}
LENGTHS = (5, 3)


def words(choice, index):
    return f"w{choice}.{index} "


def answer(request):
    """All messages for a generate or an attach: the output is a function of choice and index."""
    had = request.get("index", [0] * len(LENGTHS))
    yield {"type": "accepted", "seed": 7, "resume_token": "token", "prompt_tokens": 1}
    for index in range(max(LENGTHS) + 1):
        for choice, length in enumerate(LENGTHS):
            piece = {"type": "tokens", "choice": choice, "first_index": index, "ids": [], "text": ""}
            if index == length == had[choice]:
                yield piece | {"finish_reason": "length"}
            if not had[choice] <= index < length:
                continue
            end = {"finish_reason": "length"} if index + 1 == length else {}
            yield piece | {"ids": [index], "text": words(choice, index)} | end
    yield {"type": "done", "reason": "length", "usage": {"completion_tokens": sum(LENGTHS)}}


class FakeServer:
    """Answers each request with `script(request)`; a script that ends with DIE closes the socket."""

    DIE = object()

    def __init__(self, script):
        self.endpoint, self.requests = f"tcp://127.0.0.1:{free_port()}", []
        self._script, self._stopped = script, threading.Event()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 200)
        self._socket.bind(self.endpoint)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while not self._stopped.is_set() and self._serve():
            pass
        self._socket.close()

    def _serve(self):
        if not self._socket.poll(20):
            return True
        peer, body = self._socket.recv_multipart()
        request = msgpack.unpackb(body)
        self.requests.append(request)
        if request["type"] not in ("generate", "attach"):
            return True
        for message in self._script(request):
            if message is self.DIE:
                time.sleep(0.1)  # until what was sent has left
                return False
            message = {"v": 1, "request_id": request["request_id"], **message}
            self._socket.send_multipart([peer, msgpack.packb(message)])
        return True

    def stop(self):
        self._stopped.set()
        self._thread.join()
        self._context.term()


def first(n, *end):
    def script(request):
        for i, message in enumerate(answer(request)):
            if i == n:
                break
            yield message
        yield from end
    return script


def over(code):
    return {"type": "error", "code": code, "message": "over"}


@contextlib.contextmanager
def servers(*scripts):
    running = [FakeServer(script) for script in scripts]
    try:
        yield running
    finally:
        for server in running:
            server.stop()


def run(running, **limits):
    """(the client, the pieces, each as (choice, first_index, text))"""
    with ResumingClient([s.endpoint for s in running], timeout=30, **limits) as client:
        pieces = list(client.stream(**ASK))
        return client, [(p.choice, p.first_index, p.text) for p in pieces if p.ids]


def expect_whole(client, pieces):
    assert sorted(pieces) == [(c, i, words(c, i)) for c, n in enumerate(LENGTHS) for i in range(n)]
    assert client.last.texts == ["".join(words(c, i) for i in range(n)) for c, n in enumerate(LENGTHS)]
    assert client.last.ids == [list(range(n)) for n in LENGTHS]
    assert client.last.finish_reasons == ["length", "length"]
    assert client.last.usage["completion_tokens"] == sum(LENGTHS)


@pytest.mark.parametrize("n_messages", range(1 + 1 + sum(LENGTHS)))
def test_a_stream_goes_on_where_the_server_died(n_messages):
    with servers(first(n_messages, FakeServer.DIE), answer) as running:
        client, pieces = run(running)
        expect_whole(client, pieces)
        (again,) = running[1].requests
    if n_messages == 0:
        assert again["type"] == "generate" and client.n_resumed == 0
        return
    assert again["type"] == "attach" and again["resume_token"] == "token" and client.n_resumed == 1
    assert sum(again["index"]) == n_messages - 1
    assert again["prompt"] == "Once" and again["n"] == 2


@pytest.mark.parametrize("code", ["no_node_ready", "overloaded"])
def test_a_stream_goes_on_after_a_shutdown_or_a_full_queue(code):
    with servers(first(4, over(code)), answer) as running:
        expect_whole(*run(running))


def test_a_stream_comes_back_to_the_first_server():
    asked = []

    def script(request):
        asked.append(request)
        return first(3, over("no_node_ready"))(request) if len(asked) == 1 else answer(request)
    with servers(script, first(3, over("no_node_ready"))) as running:
        client, pieces = run(running)
        expect_whole(client, pieces)
    assert [request["index"] for request in asked[1:]] == [[2, 2]] and client.n_resumed == 2


def test_a_server_that_is_not_there_is_passed_over():
    with servers(answer) as (server,):
        nothing = f"tcp://127.0.0.1:{free_port()}"
        with ResumingClient([nothing, server.endpoint], connect_timeout=0.2) as client:
            assert client.generate(**ASK).ids == [list(range(n)) for n in LENGTHS]


@pytest.mark.parametrize("code", ["invalid_request", "decode_failed", "conflict"])
def test_what_another_server_would_refuse_too_is_not_tried_again(code):
    with servers(first(2, over(code)), answer) as running:
        with pytest.raises(LockstepError) as failed:
            run(running)
        assert failed.value.code == code and running[1].requests == []


def test_tries_and_time_are_bounded():
    with servers(first(1, over("no_node_ready"))) as running:
        with pytest.raises(LockstepError) as failed:
            run(running, tries=3)
        assert failed.value.code == "no_node_ready" and len(running[0].requests) == 3
    with servers(first(1)) as (server,), ResumingClient([server.endpoint]) as client:
        with pytest.raises(Timeout):
            client.generate(timeout=0.3, **ASK)
    with pytest.raises(ValueError):
        ResumingClient("tcp://127.0.0.1:1")
    with pytest.raises(ValueError):
        ResumingClient([])


def test_a_plain_client_says_that_the_connection_broke():
    with servers(first(3, FakeServer.DIE)) as (server,), Client(server.endpoint) as client:
        with pytest.raises(Disconnected):
            client.generate(**ASK)
    with Client(f"tcp://127.0.0.1:{free_port()}") as client, pytest.raises(Unreachable):
        client.generate(timeout=0.2, **ASK)


def test_a_plain_client_attaches():
    with servers(answer) as (server,), Client(server.endpoint) as client:
        pieces = list(client.attach(resume_token="token", index=[4, 1], **ASK))
        assert [(p.choice, p.first_index) for p in pieces] == [(1, 1), (1, 2), (0, 4)]
        assert client.last.ids == [[4], [1, 2]]
