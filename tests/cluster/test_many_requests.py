"""Thousands of random requests leave the pool and the memory of every process where they were."""

import random

import msgpack
import zmq
from processes import TINY, cluster, wait_for

SEED = 20261121
IN_FLIGHT = 48


def resident_bytes(process):
    with open(f"/proc/{process.child.pid}/statm") as statm:
        return int(statm.read().split()[1]) * 4096


def random_request(rng, number):
    request = {"v": 1, "type": "generate", "request_id": f"r{number}", "model": "m",
               "max_tokens": rng.randint(1, 6), "seed": number, "n": rng.choice([1, 1, 1, 2]),
               "temperature": rng.choice([0.0, 0.8]), "logprobs": rng.choice([-1, -1, 2])}
    kind = rng.randrange(3)
    if kind == 0:
        request["prompt"] = [rng.randrange(256) for _ in range(rng.randint(1, 40))]
    elif kind == 1:
        request["prompt"] = "x" * rng.randint(1, 60)
        request["stop"] = ["xx"]
    else:
        request["prompt"] = [1]
        request["temperature"] = rng.choice([0.5, -1.0])  # half of these are refused
    return request


def run(socket, rng, first, n):
    """Sends n requests, IN_FLIGHT at a time, cancels some, and waits for every final message."""
    live, ended, number = set(), {}, first
    while len(ended) < n:
        while len(live) < IN_FLIGHT and number < first + n:
            request = random_request(rng, number)
            socket.send(msgpack.packb(request))
            live.add(request["request_id"])
            if rng.random() < 0.1:
                socket.send(msgpack.packb({"v": 1, "type": "cancel",
                                           "request_id": request["request_id"]}))
            number += 1
        assert socket.poll(60_000), f"no answer; {len(live)} requests live"
        message = msgpack.unpackb(socket.recv())
        if message["type"] in ("done", "error"):
            assert message["request_id"] in live, "a second final message"
            live.remove(message["request_id"])
            ended[message["request_id"]] = message["type"]
    assert set(ended.values()) == {"done", "error"}


def test_five_thousand_random_requests_leave_pool_and_memory_where_they_were():
    print("seed", SEED)
    rng = random.Random(SEED)
    with cluster(TINY / "tiny-9-q8_0.gguf", node_flags=["--max-model-len", "256"]) as c, \
            zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.connect(c.zmq)
        run(socket, rng, 0, 1500)  # buffers grow to what this load needs
        processes = [c.coordinator, *c.nodes]
        before = [resident_bytes(p) for p in processes]
        run(socket, rng, 10_000, 5000)
        wait_for(lambda: c.blocks_in_use() == 0, 10, "all blocks free")
        growth = [resident_bytes(p) - b for p, b in zip(processes, before)]
        assert max(growth) < 2 << 20, f"[coordinator, node] grew by {growth} bytes"
