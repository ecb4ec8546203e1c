"""KV events as another router would read them: with msgspec structs of vLLM 0.32's shape."""

import concurrent.futures
import contextlib
import random
import time
from typing import Any

import msgpack
import msgspec
import pytest
import zmq

from processes import BIN, SMOLLM2, Process, answers, cluster, free_port, metric, request, wait_for


class EventBatch(msgspec.Struct, array_like=True, omit_defaults=True, gc=False):
    ts: float
    events: list[Any]
    data_parallel_rank: int | None = None


class KVCacheEvent(msgspec.Struct, omit_defaults=True, gc=False, tag=True):
    pass


class BlockStored(KVCacheEvent):
    block_hashes: list[bytes | int]
    parent_block_hash: bytes | int | None
    token_ids: list[int]
    block_size: int
    lora_id: int | None
    medium: str | None
    lora_name: str | None
    extra_keys: list[tuple[Any, ...] | None] | None = None
    group_idx: int | None = None
    kv_cache_spec_kind: str | None = None
    kv_cache_spec_sliding_window: int | None = None
    locality: str | None = None


class BlockRemoved(KVCacheEvent):
    block_hashes: list[bytes | int]
    medium: str | None
    group_idx: int | None = None
    locality: str | None = None


class AllBlocksCleared(KVCacheEvent):
    pass


class KVEventBatch(EventBatch):
    events: list[BlockStored | BlockRemoved | AllBlocksCleared]


DECODER = msgspec.msgpack.Decoder(KVEventBatch)
END = (-1).to_bytes(8, "big", signed=True)


class Follower:
    """What is resident, by the events alone."""

    def __init__(self):
        self.blocks = {}  # hash -> (parent, tokens, salt)

    @property
    def digest(self):
        return sum(self.blocks) % 2**64

    def apply(self, payload):
        for event in DECODER.decode(payload).events:
            if isinstance(event, AllBlocksCleared):
                self.blocks.clear()
            elif isinstance(event, BlockRemoved):
                for h in event.block_hashes:
                    del self.blocks[h]
            else:
                self.store(event)

    def store(self, event):
        assert event.medium == "GPU" and event.group_idx == 0
        assert len(event.token_ids) == event.block_size * len(event.block_hashes)
        parent = event.parent_block_hash
        salt = self.blocks[parent][2] if parent else (event.extra_keys or [[None]])[0][0]
        for i, h in enumerate(event.block_hashes):
            assert h not in self.blocks and (parent is None or parent in self.blocks)
            tokens = event.token_ids[i * event.block_size:(i + 1) * event.block_size]
            self.blocks[h] = (parent, tuple(tokens), salt)
            parent = h


class Node:
    """The sockets of a router that follows a node."""

    def __init__(self, context, listen, events, replay):
        self.wire = context.socket(zmq.DEALER)
        self.wire.connect(listen)
        self.live = context.socket(zmq.SUB)
        self.live.subscribe("")
        self.live.connect(events)
        self.replays = context.socket(zmq.DEALER)
        self.replays.connect(replay)

    def status(self):
        self.wire.send(msgpack.packb({"v": 1, "type": "status", "request_id": "s"}))
        assert self.wire.poll(10_000)
        return msgpack.unpackb(self.wire.recv())

    def ask(self, what):
        """(number, batch) of each message of an answer, to its end."""
        self.replays.send_multipart([b"", what])
        answer = []
        while True:
            assert self.replays.poll(10_000)
            empty, topic, seq, payload = self.replays.recv_multipart()
            assert empty == b""
            if seq == END:
                assert topic == payload == b""
                return answer
            assert topic.startswith(b"kv@127.0.0.1:") and topic.endswith(b"@m")
            answer.append((int.from_bytes(seq, "big"), payload))

    def replay(self, first):
        return self.ask(first.to_bytes(8, "big"))

    def receive(self, milliseconds=10_000):
        if not self.live.poll(milliseconds):
            return None
        _, seq, payload = self.live.recv_multipart()
        return int.from_bytes(seq, "big"), payload


@pytest.fixture(scope="module")
def served():
    events, replay = (f"tcp://127.0.0.1:{free_port()}" for _ in range(2))
    flags = ("--events", events, "--events-replay", replay, "--num-kv-blocks", "96",
             "--max-model-len", "512")
    with cluster(SMOLLM2, node_flags=flags) as c, zmq.Context() as context:
        listen = c.nodes[0].child.args[c.nodes[0].child.args.index("--listen") + 1]
        node = Node(context, listen, events, replay)
        yield c, node
        context.destroy(linger=0)


def ask_for(c, prompt, **fields):
    status, answer = request(c.http, "POST", "/v1/completions",
                             dict(dict(model="m", prompt=prompt, max_tokens=8, seed=1), **fields))
    assert status == 200, answer
    return answer


def load(c, n, seed):
    """Requests that share beginnings, salts and little else; more than fits the pool."""
    rng = random.Random(seed)
    def one(_):
        beginning = rng.choice(["Once upon a time ", "In the beginning ", "To whom it may concern "])
        prompt = beginning * rng.randint(2, 12) + " ".join(rng.choice("abcdefgh") for _ in range(40))
        ask_for(c, prompt, **({"cache_salt": "tea"} if rng.random() < 0.3 else {}))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(n)))


def idle_status(node):
    """The status once nothing changes any more."""
    wait_for(lambda: (lambda a, b: a["n_running"] == 0 and a["kv_seq"] == b["kv_seq"])(
        node.status(), node.status()), what="an idle node")
    return node.status()


def follow(node, follower, next_seq, until):
    while next_seq < until:
        seq, payload = node.receive()
        assert seq == next_seq
        follower.apply(payload)
        next_seq += 1
    return next_seq


def test_a_follower_of_a_node_under_load_has_its_digest(served):
    c, node = served
    ask_for(c, "Wake up. " * 20)
    follower = Follower()
    pages = node.ask(b"snapshot")
    for _, payload in pages:
        follower.apply(payload)
    next_seq = pages[-1][0]
    load(c, 60, seed=20261121)
    status = idle_status(node)
    while True:  # what came before the snapshot
        seq, payload = node.receive()
        if seq >= next_seq:
            break
    assert seq == next_seq
    follower.apply(payload)
    follow(node, follower, next_seq + 1, status["kv_seq"])
    assert status["kv_seq"] > next_seq + 20
    assert follower.digest == status["kv_digest"]
    assert len(follower.blocks) == status["n_blocks_cached"] > 0
    assert metric(c.node_admins[0], "lockstep_kv_events_total", type="removed") > 0
    assert {salt for _, _, salt in follower.blocks.values()} == {None, "tea"}


def test_a_replay_and_a_snapshot_come_to_the_same(served):
    c, node = served
    load(c, 8, seed=3)
    status = idle_status(node)
    replayed, snapshot = Follower(), Follower()
    batches = node.replay(0)
    assert [seq for seq, _ in batches] == list(range(status["kv_seq"]))
    for _, payload in batches:
        replayed.apply(payload)
    for seq, payload in node.ask(b"snapshot"):
        assert seq == status["kv_seq"]
        snapshot.apply(payload)
    assert replayed.blocks == snapshot.blocks
    assert replayed.digest == snapshot.digest == status["kv_digest"]
    assert [s for s, _ in node.replay(status["kv_seq"] - 3)] == list(
        range(status["kv_seq"] - 3, status["kv_seq"]))


def test_what_is_told_is_what_was_asked_and_answered(served):
    c, node = served
    before = idle_status(node)["kv_seq"]
    prompt = list(range(1000, 1070))
    answer = ask_for(c, prompt, max_tokens=20, temperature=0, return_token_ids=True,
                     cache_salt="mine")
    follower = Follower()
    idle_status(node)
    batches = node.ask(b"snapshot")
    for _, payload in batches:
        follower.apply(payload)
    mine = {h: b for h, b in follower.blocks.items() if b[2] == "mine"}
    chain, parent = [], None
    while nexts := [(h, b) for h, b in mine.items() if b[0] == parent]:
        assert len(nexts) == 1
        parent = nexts[0][0]
        chain += nexts[0][1][1]
    assert chain[:70] == prompt and len(chain) == 80  # 5 blocks of 16; the last token was never forwarded
    assert answer["usage"]["completion_tokens"] == 20
    ts = DECODER.decode(batches[0][1]).ts
    assert abs(ts - time.time()) < 60 and idle_status(node)["kv_seq"] > before


def test_the_heartbeat_of_a_node_without_events_says_nothing():
    with cluster(SMOLLM2) as c, zmq.Context() as context:
        ask_for(c, "Once upon a time " * 10)
        listen = c.nodes[0].child.args[c.nodes[0].child.args.index("--listen") + 1]
        wire = context.socket(zmq.DEALER)
        wire.connect(listen)
        wire.send(msgpack.packb({"v": 1, "type": "hello", "versions": [1], "role": "observer"}))
        assert wire.poll(10_000)
        welcome = msgpack.unpackb(wire.recv())
        assert "events" not in welcome and "events_replay" not in welcome
        assert metric(c.node_admins[0], "lockstep_kv_event_batches_total") == 0
        context.destroy(linger=0)


@pytest.mark.parametrize("flags, complaint", [
    (("--events", "tcp://0.0.0.0:0"), "--insecure"),
    (("--events", "tcp://127.0.0.1:0", "--events-replay", "tcp://0.0.0.0:0"), "--insecure"),
    (("--events-replay", "tcp://127.0.0.1:0"), "needs events"),
    (("--events", "nonsense"), "nonsense"),
])
def test_endpoints_that_cannot_be_are_refused_in_one_line(flags, complaint):
    node = Process(BIN / "lockstep-node", SMOLLM2, "--listen", "tcp://127.0.0.1:0", *flags)
    with contextlib.suppress(Exception):
        node.child.wait(30)
    assert node.child.returncode == 2, node.output()
    last = node.output().strip().splitlines()[-1]
    assert complaint in last and len(last) < 300


def test_serve_publishes_them_too():
    http, admin = free_port(), free_port()
    events, replay = (f"tcp://127.0.0.1:{free_port()}" for _ in range(2))
    serve = Process(BIN / "lockstep", "serve", SMOLLM2, "--served-model-name", "m", "--http",
                    f"127.0.0.1:{http}", "--zmq", f"tcp://127.0.0.1:{free_port()}", "--admin",
                    f"127.0.0.1:{admin}", "--max-model-len", "512", "--events", events,
                    "--events-replay", replay)
    try:
        wait_for(lambda: answers(admin), 60, "lockstep serve")
        with zmq.Context() as context:
            node = Node(context, replay, events, replay)
            status, _ = request(http, "POST", "/v1/completions",
                                dict(model="m", prompt="Once upon a time " * 10, max_tokens=2))
            assert status == 200
            follower = Follower()
            wait_for(lambda: node.replay(0), what="a batch")
            for _, payload in node.replay(0):
                follower.apply(payload)
            assert len(follower.blocks) >= 2
            context.destroy(linger=0)
    finally:
        serve.stop()
