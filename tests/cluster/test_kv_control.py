"""Control verbs from outside: clear_kv_cache, slots and describe, on the admin port and over ZeroMQ."""

import contextlib

import msgpack
import pytest
import zmq

from processes import BIN, TINY, Process, answers, cluster, free_port, metric, request, stream, wait_for

MODEL = TINY / "tiny-9-q8_0.gguf"
FLAGS = ("--max-model-len=512", "--num-kv-blocks=64", "--max-num-seqs=4")
PROMPT = list(range(5, 45))


@pytest.fixture(scope="module")
def tiny():
    with cluster(MODEL, node_flags=(*FLAGS, "--tensor-parallel-size=2", "--threads-per-rank=1")) as c:
        yield c


def ask(c, prompt=PROMPT, **fields):
    body = dict(dict(model="m", prompt=prompt, max_tokens=8, temperature=0, ignore_eos=True,
                     return_token_ids=True), **fields)
    status, answer = request(c.http, "POST", "/v1/completions", body)
    assert status == 200, answer
    return answer["choices"][0]["token_ids"], answer["usage"]["prompt_tokens_details"]["cached_tokens"]


def blocks(c, state):
    return metric(c.node_admins[0], "lockstep_kv_blocks", state=state)


def clear(c, query=""):
    return request(c.node_admins[0], "POST", "/v1/clear_kv_cache" + query)


def test_clearing_an_idle_node_returns_what_was_cached_and_the_next_answer_is_the_same(tiny):
    first, _ = ask(tiny)
    again, n_cached = ask(tiny)
    assert again == first and n_cached > 0
    wait_for(lambda: blocks(tiny, "active") == 0, what="idle")
    before = blocks(tiny, "cached")
    assert clear(tiny) == (200, {"n_cleared": before, "n_host_cleared": 0, "n_busy": 0, "busy": []})
    assert blocks(tiny, "cached") == blocks(tiny, "active") == 0 and blocks(tiny, "free") == 64
    assert ask(tiny) == (first, 0)


def test_blocks_of_a_running_request_stay_and_it_ends_as_it_would_have(tiny):
    fields = dict(prompt=[9, 8, 7, 6], max_tokens=400)
    alone, _ = ask(tiny, **fields)
    clear(tiny)
    events = stream(tiny.http, "/v1/completions",
                    dict(model="m", temperature=0, ignore_eos=True, return_token_ids=True, **fields))
    ids = list(next(events)["choices"][0]["token_ids"])
    status, answer = clear(tiny)
    assert status == 200 and answer["n_busy"] >= 1
    assert [slot["prompt_tokens"] for slot in answer["busy"]] == [4]
    slots = request(tiny.node_admins[0], "GET", "/v1/slots")[1]["slots"]
    assert len(slots) == 1 and slots[0]["state"] == "decoding" and slots[0]["n_blocks"] >= 1
    for event in events:
        ids += [t for choice in event["choices"] for t in choice.get("token_ids") or []]
    assert ids == alone
    assert request(tiny.node_admins[0], "GET", "/v1/slots")[1] == {"slots": []}


def test_a_salt_is_cleared_alone(tiny):
    clear(tiny)
    for salt in ("a b", "c"):
        ask(tiny, cache_salt=salt)
    wait_for(lambda: blocks(tiny, "active") == 0, what="idle")
    cached = blocks(tiny, "cached")
    status, answer = clear(tiny, "?scope=salt&cache_salt=a%20b")
    assert status == 200 and answer["n_cleared"] == cached / 2
    assert ask(tiny, cache_salt="a b")[1] == 0 and ask(tiny, cache_salt="c")[1] > 0


@pytest.mark.parametrize("query, status, param", [
    ("?scope=some", 400, "scope"),
    ("?scope=model&model=other", 404, "model"),
    ("?scope=tenant&tenant=gold", 400, "tenant"),
    ("?what=all", 400, "what"),
])
def test_a_clear_that_means_nothing_is_refused_by_field(tiny, query, status, param):
    code, answer = clear(tiny, query)
    assert code == status and answer["error"]["param"] == param, answer


def test_a_clear_is_not_started_by_a_get(tiny):
    assert request(tiny.node_admins[0], "GET", "/v1/clear_kv_cache")[0] == 405


def test_every_rank_describes_the_same_settings(tiny):
    status, answer = request(tiny.node_admins[0], "GET", "/v1/describe")
    assert status == 200 and len(answer["nodes"]) == 1
    node = answer["nodes"][0]
    wanted = {"num_kv_blocks": "64", "block_size": "16", "max_model_len": "512", "max_num_seqs": "4",
              "kv_cache_dtype": "k16v8", "tensor_parallel_size": "2"}
    assert node["model"] == "m" and node["settings"]["prefix_cache"] == "true"
    assert [rank["rank"] for rank in node["ranks"]] == [0, 1]
    for settings in (node["settings"], *(rank["settings"] for rank in node["ranks"])):
        assert {name: settings[name] for name in wanted} == wanted


def test_the_coordinator_describes_its_nodes(tiny):
    node = request(tiny.node_admins[0], "GET", "/v1/describe")[1]["nodes"][0]
    status, answer = request(tiny.admin, "GET", "/v1/describe")
    assert status == 200 and len(answer["nodes"]) == 1
    assert answer["nodes"][0].pop("endpoint").startswith("tcp://127.0.0.1:")
    assert answer["nodes"][0].pop("state") == "ready"
    assert answer["nodes"][0] == node
    with dealer(tiny.zmq) as say:
        said = say(type="describe", request_id="d")["nodes"][0]
        assert {s["name"]: s["value"] for s in said["settings"]} == node["settings"]


@contextlib.contextmanager
def dealer(endpoint):
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RCVTIMEO, 20000)
    socket.connect(endpoint)
    try:
        yield lambda **message: (socket.send(msgpack.packb(dict(v=1, **message))),
                                 msgpack.unpackb(socket.recv()))[1]
    finally:
        socket.close()
        context.term()


def test_the_verbs_are_messages_of_the_wire_too():
    port, admin = free_port(), free_port()
    node = Process(BIN / "lockstep-node", MODEL, *FLAGS, "--listen", f"tcp://127.0.0.1:{port}",
                   "--admin", f"127.0.0.1:{admin}")
    try:
        wait_for(lambda: answers(admin), what="node ready")
        with dealer(f"tcp://127.0.0.1:{port}") as say:
            answer = say(type="clear_kv_cache", request_id="c")
            assert (answer["type"], answer["n_cleared"], answer["n_busy"]) == ("kv_cache_cleared", 0, 0)
            assert say(type="slots", request_id="s") == dict(v=1, type="slot_list", request_id="s",
                                                             slots=[])
            answer = say(type="describe", request_id="d")
            assert {"name": "block_size", "value": "16"} in answer["nodes"][0]["settings"]
            answer = say(type="clear_kv_cache", request_id="e", scope="some")
            assert (answer["type"], answer["param"]) == ("error", "scope")
    finally:
        node.stop()
