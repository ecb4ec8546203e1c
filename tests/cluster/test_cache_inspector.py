"""The cache from outside: /v1/cache, receipts of requests, and `lockstep top`."""

import http.client
import json
import re
import subprocess

import pytest

from processes import BIN, SMOLLM2, Process, answers, cluster, free_port, request, wait_for

SYSTEM = "You are a careful assistant who answers in short plain sentences. " * 4


@pytest.fixture(scope="module")
def served():
    with cluster(SMOLLM2, node_flags=("--num-kv-blocks", "64", "--max-model-len", "512")) as c:
        yield c


def ask(c, prompt, **fields):
    """The receipt of one request, as {reason, matched, divergent, …}."""
    connection = http.client.HTTPConnection("127.0.0.1", c.http, timeout=60)
    body = dict(dict(model="m", prompt=prompt, max_tokens=4, temperature=0), **fields)
    connection.request("POST", "/v1/completions", json.dumps(body),
                       {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = json.loads(response.read())
    assert response.status == 200, answer
    receipt = response.getheader("X-Cache-Receipt")
    reason, *rest = receipt.split("; ")
    found = dict({k: float(v) for k, v in (r.split("=") for r in rest)}, reason=reason)
    assert found["matched"] == answer["usage"]["prompt_tokens_details"]["cached_tokens"]
    return found


def fill(c):
    """More than the pool holds."""
    for i in range(8):
        ask(c, [1000 + 300 * i + j for j in range(300)])


def test_a_receipt_says_why_a_prompt_missed(served):
    first = ask(served, SYSTEM + "Name a colour.")
    assert first["reason"] == "never_seen" and first["matched"] == first["divergent"] == 0
    again = ask(served, SYSTEM + "Name a colour.")
    assert again["reason"] == "hit" and again["matched"] >= 48
    other = ask(served, SYSTEM + "Tell me about rivers and the seas that they reach. " * 3)
    assert other["reason"] == "never_seen" and 48 <= other["matched"] <= other["divergent"]
    assert ask(served, SYSTEM + "Name a colour.", cache_salt="tea")["reason"] == "never_seen"
    assert ask(served, SYSTEM + "Name a colour.", cache_prompt=False)["reason"] == "off"
    fill(served)
    gone = ask(served, SYSTEM + "Name a colour.")
    assert gone["reason"] == "evicted" and 0 <= gone["evicted_seconds"] < 60


def test_every_prompt_of_a_request_has_its_receipt(served):
    connection = http.client.HTTPConnection("127.0.0.1", served.http, timeout=60)
    connection.request("POST", "/v1/completions", json.dumps(
        dict(model="m", prompt=["One, two, three.", "Four, five, six."], max_tokens=2)),
        {"Content-Type": "application/json"})
    response = connection.getresponse()
    response.read()
    assert len(response.getheader("X-Cache-Receipt").split(", ")) == 2


def test_a_stream_has_its_receipt_before_its_end(served):
    connection = http.client.HTTPConnection("127.0.0.1", served.http, timeout=60)
    connection.request("POST", "/v1/completions", json.dumps(
        dict(model="m", prompt=SYSTEM, max_tokens=2, stream=True)), {"Content-Type": "application/json"})
    *_, end = connection.getresponse().read().decode().strip().split("\n\n")
    receipt, done = end.split("\n")
    assert re.fullmatch(r": x-cache-receipt: \w+; matched=\d+; divergent=\d+.*", receipt), receipt
    assert done == "data: [DONE]"


def test_the_admin_port_shows_what_is_held_and_reused(served):
    fill(served)
    for i in range(3):
        ask(served, SYSTEM + f"What is {i} + {i}?")
    status, page = request(served.node_admins[0], "GET", "/v1/cache")
    assert status == 200
    blocks = page["blocks"]
    assert blocks["free"] + blocks["cached"] + blocks["active"] == blocks["total"] == 64
    assert page["model"] == "m" and page["block_size"] == 16 and page["prefix_cache"]
    assert page["evictions"]["room"] > 0
    hot = page["prefixes"][0]
    assert hot["hits"] >= 2 and hot["tokens"] >= 48 and "text" not in hot
    assert "careful" not in json.dumps(page)
    assert request(served.http, "GET", "/v1/cache")[0] == 404  # on the admin port only


def top(port, *flags):
    done = subprocess.run([BIN / "lockstep", "top", f"127.0.0.1:{port}", "--once", *flags],
                          capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def test_top_prints_one_picture(served):
    ask(served, SYSTEM + "Once.")
    ask(served, SYSTEM + "Twice.")
    code, out, err = top(served.node_admins[0])
    assert code == 0 and err == ""
    assert out.startswith("model m; 0 running, 0 waiting\n")
    bar = re.search(r"^\[([#=\-.]+)\]$", out, re.M).group(1)
    assert len(bar) == 60 and "=" in bar
    assert re.search(r"^64 blocks of 16 tokens: ", out, re.M)
    assert re.search(r"^prefix cache on: \d+ blocks, \d+ salts, [\d.]+ % of \d+ prompt tokens", out, re.M)
    assert re.search(r"^ +\d+ +\d+ +[\d.]+ +\d+  [0-9a-f]{16}$", out, re.M)
    assert "\x1b" not in out


def test_top_of_nothing_is_one_line(served):
    port = free_port()
    code, out, err = top(port)
    assert code == 1 and out == "" and len(err.splitlines()) == 1 and str(port) in err
    code, out, err = top(served.admin)  # a coordinator's admin port has no cache
    assert code == 1 and "404" in err


def test_serve_shows_it_too_and_texts_if_asked():
    http_port, admin = free_port(), free_port()
    serve = Process(BIN / "lockstep", "serve", SMOLLM2, "--served-model-name", "m", "--http",
                    f"127.0.0.1:{http_port}", "--zmq", f"tcp://127.0.0.1:{free_port()}", "--admin",
                    f"127.0.0.1:{admin}", "--inspect-text", "--max-model-len", "512")
    try:
        wait_for(lambda: answers(admin), 60, "lockstep serve")
        for end in ("Once.", "Twice."):
            status, _ = request(http_port, "POST", "/v1/completions",
                                dict(model="m", prompt=SYSTEM + end, max_tokens=2))
            assert status == 200
        _, page = request(admin, "GET", "/v1/cache")
        assert page["prefixes"][0]["text"].startswith("You are a careful assistant")
        assert "careful" in top(admin)[1]
    finally:
        serve.stop()
