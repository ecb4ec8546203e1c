"""The Python client, call by call, against a running cluster."""

import pytest
from lockstep_client import Client, LockstepError, Timeout
from processes import TINY, cluster, free_port, metric, wait_for

LONG = {"model": "m", "prompt": "Hello", "max_tokens": 900, "n": 8, "ignore_eos": True}


@pytest.fixture(scope="module")
def tiny():
    with cluster(TINY / "tiny-9-q8_0.gguf", node_flags=["--max-model-len", "1000"]) as c:
        yield c


@pytest.fixture
def client(tiny):
    with Client(tiny.zmq) as c:
        yield c


def n_cancelled(c):
    return metric(c.node_admins[0], "lockstep_requests_total", outcome="cancelled")


def expect_one_more_cancelled(c, before):
    wait_for(lambda: n_cancelled(c) > before, 10, "the request is cancelled at the node")
    assert n_cancelled(c) == before + 1
    wait_for(lambda: c.blocks_in_use() == 0, 10, "its blocks are free")


def test_generate_returns_every_choice_whole(client):
    ask = {"model": "m", "prompt": "Once upon a time", "max_tokens": 12, "n": 3, "seed": 5,
           "ignore_eos": True, "return_token_ids": True}
    result = client.generate(**ask)
    assert len(result.texts) == 3 and result.text == result.texts[0]
    assert [len(ids) for ids in result.ids] == [12, 12, 12]
    assert result.finish_reasons == ["length"] * 3 and result.reason == "length"
    assert result.seed == 5 and result.usage["completion_tokens"] == 36
    assert result.usage["prompt_tokens"] == len(result.prompt_token_ids)
    assert client.last is result
    pieces = list(client.stream(**ask))
    for choice in range(3):
        assert [t for p in pieces if p.choice == choice for t in p.ids] == result.ids[choice]


def test_a_cancelled_request_still_gets_its_final_message(tiny, client):
    before = n_cancelled(tiny)
    pieces = client.stream(request_id="mine", **LONG)
    next(pieces)
    client.cancel("mine")
    for _ in pieces:
        pass
    assert client.last.request_id == "mine" and client.last.reason == "cancelled"
    assert client.last.usage["completion_tokens"] < 8 * 900
    expect_one_more_cancelled(tiny, before)
    client.cancel("unknown")
    assert client.models()


def test_a_cache_salt_is_a_keyword_with_a_length(client):
    ask = {"model": "m", "prompt": "Hello", "max_tokens": 3, "seed": 1, "ignore_eos": True}
    assert client.generate(cache_salt="acme", **ask).ids == client.generate(**ask).ids
    with pytest.raises(LockstepError) as refused:
        client.generate(cache_salt="s" * 257, **ask)
    assert (refused.value.code, refused.value.param) == ("invalid_request", "cache_salt")
    assert "256" in refused.value.message and "257" in refused.value.message


def test_status_names_the_node_and_its_load(client):
    status = client.status()
    assert status["type"] == "cluster_status"
    (node,) = status["nodes"]
    assert node["state"] == "ready" and node["model"] == "m"
    wait_for(lambda: client.status()["nodes"][0]["load"]["n_blocks_total"] > 0, 10, "a heartbeat")


def test_status_says_what_a_step_of_the_node_costs(client):
    client.generate(model="m", prompt="Once upon a time", max_tokens=100, n=2, ignore_eos=True)

    def load():
        return client.status()["nodes"][0]["load"]
    wait_for(lambda: "step_times" in load(), 10, "a heartbeat after the steps")
    times = load()["step_times"]
    assert sorted(times) == ["base", "context", "prompt_context", "prompt_token", "sequence"]
    assert all(0 <= ms < 60_000 for ms in times.values()), times
    assert times["base"] + times["sequence"] + times["context"] > 0
    wait_for(lambda: load()["n_prompt_tokens_pending"] == 0 == load()["n_context_tokens"], 10,
             "a heartbeat of the idle node")


def test_models_lists_what_is_served(client):
    (model,) = client.models()
    assert model["id"] == "m" and model["max_model_len"] == 1000


def test_tokenize_and_detokenize_are_each_others_inverse(client):
    text = "The quick brown fox, 42 times."
    tokens = client.tokenize(model="m", prompt=text)
    assert len(tokens) > 5 and client.detokenize(model="m", tokens=tokens) == text
    chat = client.tokenize(model="m", messages=[{"role": "user", "content": text}])
    assert len(chat) > len(tokens)


def test_past_the_deadline_timeout_is_raised_and_the_request_cancelled(tiny, client):
    before = n_cancelled(tiny)
    with pytest.raises(Timeout) as late:
        client.generate(timeout=0.1, **LONG)
    assert late.value.code == "deadline_exceeded"
    expect_one_more_cancelled(tiny, before)
    assert client.generate(model="m", prompt="Hello", max_tokens=2).usage["completion_tokens"] <= 2


def test_an_absent_server_is_a_timeout():
    with Client(f"tcp://127.0.0.1:{free_port()}", timeout=0.2) as client:
        with pytest.raises(Timeout):
            client.models()
        with pytest.raises(Timeout):
            client.generate(model="m", prompt="x")
    with pytest.raises(LockstepError):
        Client("nonsense")


@pytest.mark.parametrize("how", [KeyboardInterrupt, GeneratorExit, ValueError])
def test_a_stream_that_is_left_is_cancelled_however_it_is_left(tiny, client, how):
    before = n_cancelled(tiny)
    pieces = client.stream(**LONG)
    next(pieces)
    with pytest.raises(how):
        pieces.throw(how())
    expect_one_more_cancelled(tiny, before)


def test_a_refusal_names_code_and_field_and_cancels_nothing(client, monkeypatch):
    monkeypatch.setattr(client, "cancel", lambda _: pytest.fail("the request has ended"))
    with pytest.raises(LockstepError) as refused:
        client.generate(model="m", prompt="x", temperature=-1)
    assert refused.value.code == "invalid_request" and refused.value.param == "temperature"
    with pytest.raises(LockstepError) as refused:
        client.tokenize(model="other", prompt="x")
    assert refused.value.code == "model_not_found"
