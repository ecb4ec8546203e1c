"""The prefix cache from outside: what usage and metrics say of it, and that answers do not depend on it."""

import pytest

from processes import SMOLLM2, cluster, metric, request, stream

SYSTEM = "You are a careful assistant who answers in short plain sentences and never makes things up. "
TURNS = ["Name a colour.", "Name another one.", "And which of the two is warmer?"]


@pytest.fixture(scope="module")
def cached():
    with cluster(SMOLLM2) as c:
        yield c


@pytest.fixture(scope="module")
def uncached():
    with cluster(SMOLLM2, node_flags=("--no-cache-prompt",)) as c:
        yield c


def chat(c, messages, **fields):
    body = dict(model="m", messages=messages, max_tokens=20, temperature=0.7, seed=5,
                repetition_penalty=1.3, **fields)
    status, answer = request(c.http, "POST", "/v1/chat/completions", body)
    assert status == 200, answer
    return answer["choices"][0]["message"]["content"], answer["usage"]


def conversation(c, **fields):
    """The answers of three turns, and of each its prompt tokens and how many were cached."""
    messages, said, usages = [{"role": "system", "content": SYSTEM}], [], []
    for turn in TURNS:
        messages.append({"role": "user", "content": turn})
        text, usage = chat(c, messages, **fields)
        messages.append({"role": "assistant", "content": text})
        said.append(text)
        usages.append((usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"]))
    return said, usages


def test_turns_are_read_from_the_cache_and_answered_as_without_it(cached, uncached):
    said, usages = conversation(cached)
    assert usages[0][1] == 0
    for (prompt, n_cached), (before, _) in zip(usages[1:], usages):
        assert before // 16 * 16 <= n_cached < prompt
    again, hot = conversation(cached)
    plain, none = conversation(uncached)
    assert said == again == plain
    # All but the last token, where the block that holds them has become full.
    assert all((prompt - 1) // 16 * 16 <= n < prompt for prompt, n in hot)
    assert any(n == prompt - 1 for prompt, n in hot)
    assert [n for _, n in none] == [0, 0, 0]


def test_a_streamed_hit_has_the_bytes_of_a_miss(cached, uncached):
    body = dict(model="m", prompt="Once upon a time " * 12, max_tokens=30, temperature=0)
    texts = ["".join(e["choices"][0]["text"] for e in stream(c.http, "/v1/completions", body))
             for c in (cached, cached, uncached)]
    assert len(set(texts)) == 1 and texts[0]


def test_salts_and_switches_keep_requests_apart(cached):
    said, usages = conversation(cached, cache_salt="tenant-1")
    assert usages[0][1] == 0  # other clients' prompts do not show
    assert conversation(cached, cache_salt="tenant-1")[1][0][1] > 0
    for fields in (dict(cache_salt="tenant-2"), dict(cache_prompt=False)):
        other, counts = conversation(cached, **fields)
        assert other == said and counts[0][1] == 0


def test_the_choices_of_a_request_share_its_prompt(cached):
    admin = cached.node_admins[0]
    before = metric(admin, "lockstep_engine_query_rows_total")
    status, answer = request(cached.http, "POST", "/v1/completions",
                             dict(model="m", prompt="A list of rivers and of the seas they reach: " * 8,
                                  max_tokens=2, n=4, seed=3))
    assert status == 200 and len(answer["choices"]) == 4
    prompt = answer["usage"]["prompt_tokens"]
    rows = metric(admin, "lockstep_engine_query_rows_total") - before
    assert rows <= prompt + 3 * 16 + 4 * 2 < 2 * prompt


def test_metrics_account_for_every_block_and_token(cached, uncached):
    for c, is_cached in ((cached, True), (uncached, False)):
        admin = c.node_admins[0]
        states = {s: metric(admin, "lockstep_kv_blocks", state=s)
                  for s in ("free", "cached", "reserved", "active")}
        assert states["active"] == states["reserved"] == 0
        assert (states["cached"] > 0) == is_cached
        assert metric(admin, "lockstep_kv_invariant_violations_total") == 0
        cached_tokens = metric(admin, "lockstep_prompt_tokens_total", source="cached")
        assert (cached_tokens > 0) == is_cached
        assert metric(admin, "lockstep_prompt_tokens_total", source="computed") > 0
        hits = metric(admin, "lockstep_prefix_cache_hit_tokens_total")
        lookups = metric(admin, "lockstep_prefix_cache_lookup_tokens_total")
        assert cached_tokens <= hits <= lookups and (lookups > 0) == is_cached
