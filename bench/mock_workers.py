#!/usr/bin/env python3
"""Workers that compute nothing and answer at once with one token, for bench/coordinator_overhead.py.

    mock_workers.py zmq PORT     a node (docs/wire-protocol.md); needs pyzmq and msgpack
    mock_workers.py http PORT    a server of /v1/completions, streamed
"""
import asyncio
import json
import sys
import time


def run_node(port):
    import msgpack
    import zmq
    socket = zmq.Context().socket(zmq.ROUTER)
    socket.bind(f"tcp://127.0.0.1:{port}")
    epoch, peers, next_beat = time.time_ns() // 1000, set(), 0

    def send(peer, kind, **fields):
        socket.send_multipart([peer, msgpack.packb({"v": 1, "type": kind, **fields})])

    def answer(peer, message):
        if message["type"] == "hello":
            if message["role"] == "coordinator":
                peers.add(peer)
            send(peer, "welcome", version=1, epoch=epoch, fingerprint="f", block_size=16,
                 n_kv_blocks=1024, max_num_seqs=256,
                 models=[{"id": "m", "created": 1, "max_model_len": 8192}])
        elif message["type"] == "generate":
            name = message["request_id"]
            token = dict(request_id=name, choice=0, first_index=0, ids=[1], text="a", epoch=epoch,
                         attempt=message.get("attempt", 0), finish_reason="length")
            send(peer, "accepted", request_id=name, seed=message.get("seed", 0), prompt_tokens=50,
                 max_tokens=1)
            if peer in peers:
                send(peer, "tokens_batch", items=[token])
            else:
                send(peer, "tokens", **token)
            send(peer, "done", request_id=name, reason="length",
                 usage=dict(prompt_tokens=50, cached_tokens=0, completion_tokens=1))

    while True:
        if socket.poll(50):
            peer, body = socket.recv_multipart()
            answer(peer, msgpack.unpackb(body))
        if time.monotonic() > next_beat:
            next_beat = time.monotonic() + 0.25
            for peer in peers:
                send(peer, "heartbeat", epoch=epoch, step=1, n_blocks_total=1024, n_blocks_free=1024)


class HttpWorker(asyncio.Protocol):
    """Answers each request of a kept connection; reads no more of it than where it ends."""

    def __init__(self):
        self.buffer = b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, rest = self.buffer.split(b"\r\n\r\n", 1)
            length = next((int(line.split(b":")[1]) for line in head.lower().split(b"\r\n")
                           if line.startswith(b"content-length:")), 0)
            if len(rest) < length:
                return
            self.buffer = rest[length:]
            self.transport.write(STREAM if head.startswith(b"POST") else page(b'{"status":"ok"}'))


def page(body):
    return (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
            % (len(body), body))


def stream():
    def event(choices, usage=None):
        return b"data: %s\n\n" % json.dumps(
            {"id": "c", "object": "text_completion", "created": 1, "model": "m", "choices": choices,
             "usage": usage}).encode()
    choice = {"index": 0, "text": "a", "logprobs": None, "finish_reason": None}
    last = choice | {"text": "", "finish_reason": "length"}
    body = event([choice]) + event([last]) + b"data: [DONE]\n\n"
    return (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))


STREAM = stream()


async def run_http(port):
    server = await asyncio.get_running_loop().create_server(HttpWorker, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    if sys.argv[1] == "zmq":
        run_node(int(sys.argv[2]))
    else:
        asyncio.run(run_http(int(sys.argv[2])))
