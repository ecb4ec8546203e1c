"""Clients of other projects: the openai package, and llm-comply's checks of the API."""

import json
import pathlib
import subprocess
import sys

import openai
import pytest
from processes import SMOLLM2, cluster, request

# Chosen once: with it every answer that llm-comply asks for ends by itself.
COMPLY_SEED = 1
# Not served yet: tools, and messages with images. Each is refused with a 400 that names it.
NOT_SERVED = {"chat-tool-calling", "chat-image-input"}
COMPLY = pathlib.Path(sys.executable).with_name("llm-comply")


@pytest.fixture(scope="module")
def smollm2():
    with cluster(SMOLLM2, node_flags=["--max-model-len", "2048"],
                 coordinator_flags=["--seed", str(COMPLY_SEED)]) as c:
        yield c


@pytest.fixture(scope="module")
def client(smollm2):
    return openai.OpenAI(base_url=f"http://127.0.0.1:{smollm2.http}/v1", api_key="none",
                         max_retries=0, timeout=120)


MESSAGES = [{"role": "user", "content": "What is the capital of France?"}]


def test_chat_streams_and_whole_answers_are_the_same_text(client):
    ask = dict(model="m", messages=MESSAGES, max_tokens=24, temperature=0)
    whole = client.chat.completions.create(**ask)
    assert whole.object == "chat.completion" and whole.model == "m"
    assert whole.id.startswith("chatcmpl-")
    assert len(whole.choices[0].message.content) > 10
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    chunks = list(client.chat.completions.create(
        **ask, stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    usage = chunks[-1].usage
    assert usage.prompt_tokens == whole.usage.prompt_tokens
    assert usage.completion_tokens == whole.usage.completion_tokens
    # The second time, the prompt was read from the cache, but for its last token.
    assert whole.usage.prompt_tokens_details.cached_tokens == 0
    assert usage.prompt_tokens_details.cached_tokens == usage.prompt_tokens - 1
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == \
        whole.choices[0].finish_reason


def test_completions_take_text_ids_and_many_prompts(smollm2, client):
    def texts(prompt):
        answer = client.completions.create(model="m", prompt=prompt, max_tokens=8, temperature=0)
        assert [c.index for c in answer.choices] == list(range(len(answer.choices)))
        return [c.text for c in answer.choices]

    ids = request(smollm2.http, "POST", "/tokenize",
                  {"model": "m", "prompt": "Once upon a time"})[1]["tokens"]
    story, water = texts("Once upon a time")[0], texts("Water boils at")[0]
    assert texts(ids) == [story]
    assert texts(["Once upon a time", "Water boils at"]) == [story, water]
    assert texts([ids, ids]) == [story, story]


def test_log_probabilities_are_those_of_a_distribution(client):
    answer = client.chat.completions.create(model="m", messages=MESSAGES, max_tokens=8,
                                            temperature=0, logprobs=True, top_logprobs=5)
    for token in answer.choices[0].logprobs.content:
        top = [t.logprob for t in token.top_logprobs]
        assert len(top) == 5 and top == sorted(top, reverse=True) and top[0] <= 0
        assert token.logprob == top[0] and token.token == token.top_logprobs[0].token


def test_the_model_is_listed_and_found(client):
    assert [m.id for m in client.models.list()] == ["m"]
    assert client.models.retrieve("m").id == "m"
    with pytest.raises(openai.NotFoundError) as refused:
        client.models.retrieve("other")
    assert refused.value.code == "model_not_found"


def test_refusals_raise_with_the_field_and_the_numbers(client):
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="m", messages=MESSAGES, temperature=-1)
    assert refused.value.param == "temperature" and "-1" in refused.value.message
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="m", messages=MESSAGES, max_tokens=100_000)
    assert refused.value.code == "context_length_exceeded"
    assert "100000" in refused.value.message and "2048" in refused.value.message
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="other", messages=MESSAGES)


@pytest.mark.parametrize("field, value", [
    ("tools", [{"type": "function", "function": {"name": "f", "parameters": {}}}]),
    ("response_format", {"type": "json_object"}),
    ("logit_bias", {"5": 1}),
])
def test_what_is_not_served_yet_is_refused_by_name(client, field, value):
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="m", messages=MESSAGES, **{field: value})
    assert refused.value.code == "unsupported_parameter" and refused.value.param == field


def test_an_image_is_refused_naming_the_part(client):
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": [{"type": "text", "text": "?"}, part]}])
    assert refused.value.param == "messages[0].content[1]"


def comply(*arguments):
    done = subprocess.run([COMPLY, "--format", "openai-chat", *arguments], capture_output=True,
                          text=True, timeout=300, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout


def test_llm_comply_passes_all_that_is_served(smollm2):
    names = [line.split()[0] for line in comply("--list")[1].splitlines()
             if line.startswith("  chat-")]
    served = [name for name in names if name not in NOT_SERVED]
    assert len(served) >= 7
    code, report = comply("-u", f"http://127.0.0.1:{smollm2.http}/v1", "-m", "m", "-k", "none",
                          "-f", ",".join(served), "--json")
    assert code == 0, report
    expected = dict.fromkeys(served, "passed")
    expected["chat-reasoning-summary"] = "skipped"  # llm-comply asks models of some names only
    assert {r["id"]: r["status"] for r in json.loads(report)["results"]} == expected, report
