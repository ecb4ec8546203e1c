"""--no-kv-cache from outside: no KV block is kept, and the answers are those of the cache."""

import concurrent.futures

import pytest

from processes import SMOLLM2, TINY, cluster, metric, request, stream

FLAGS = ("--max-model-len=256", "--num-kv-blocks=64")


@pytest.fixture(scope="module")
def both():
    with cluster(TINY / "tiny-9-q8_0.gguf", node_flags=FLAGS) as cached, \
            cluster(TINY / "tiny-9-q8_0.gguf",
                    node_flags=("--max-model-len=256", "--no-kv-cache")) as uncached:
        yield cached, uncached


def complete(c, n_prompt, **fields):
    body = dict(model="m", prompt=[7 + i % 200 for i in range(n_prompt)], max_tokens=12,
                temperature=0.8, seed=n_prompt, ignore_eos=True, return_token_ids=True, **fields)
    status, answer = request(c.http, "POST", "/v1/completions", body)
    assert status == 200, answer
    return answer


def node_metric(c, name, **labels):
    return metric(c.node_admins[0], name, **labels)


def test_a_chat_has_the_same_tokens_to_the_last():
    answers = []
    for flags in ((), ("--no-kv-cache",)):
        with cluster(SMOLLM2, node_flags=("--max-model-len=256", *flags)) as c:
            status, answer = request(c.http, "POST", "/v1/chat/completions", dict(
                model="m", messages=[{"role": "user", "content": "Hi"}], max_tokens=64,
                temperature=0, return_token_ids=True))
            assert status == 200, answer
            choice = answer["choices"][0]
            answers.append((choice["token_ids"], choice["finish_reason"],
                            choice["message"]["content"]))
    assert answers[0] == answers[1] and len(answers[0][0]) > 1


def test_there_is_no_pool_and_no_cache_memory(both):
    cached, uncached = both
    assert node_metric(cached, "lockstep_memory_bytes", tag="kv") > 0
    assert node_metric(uncached, "lockstep_memory_bytes", tag="kv") == 0
    for state in ("free", "cached", "reserved", "active"):
        assert node_metric(uncached, "lockstep_kv_blocks", state=state) == 0
    for port in (uncached.node_admins[0], uncached.admin):
        (node,) = request(port, "GET", "/v1/describe")[1]["nodes"]
        assert node["settings"]["kv_cache"] == "false"
        assert [rank["settings"]["kv_cache"] for rank in node["ranks"]] == ["false"]


def test_a_prompt_asked_thrice_is_computed_thrice(both):
    answers = [complete(both[1], 40) for _ in range(3)]
    assert [a["usage"]["prompt_tokens_details"]["cached_tokens"] for a in answers] == [0, 0, 0]
    assert len({tuple(a["choices"][0]["token_ids"]) for a in answers}) == 1
    assert node_metric(both[1], "lockstep_prompt_tokens_total", source="cached") == 0


def test_a_pass_has_a_row_for_every_token_before_it(both):
    rows = []
    for c in both:
        before = node_metric(c, "lockstep_engine_query_rows_total")
        request(c.http, "POST", "/v1/completions", dict(
            model="m", prompt=[300 + i for i in range(20)], max_tokens=10, temperature=0,
            ignore_eos=True))
        rows.append(node_metric(c, "lockstep_engine_query_rows_total") - before)
    assert rows == [29, 245]  # 20 + 9, and 20 + 21 + … + 29


def test_four_at_once_wait_for_one_another_and_equal_their_cached_runs(both):
    cached, uncached = both
    lengths = (1, 7, 40, 100)
    alone = {n: complete(cached, n)["choices"][0]["text"] for n in lengths}
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        whole = {n: pool.submit(complete, uncached, n) for n in lengths}
        pieces = {n: pool.submit(stream, uncached.http, "/v1/completions", dict(
            model="m", prompt=[7 + i % 200 for i in range(n)], max_tokens=12, temperature=0.8,
            seed=n, ignore_eos=True)) for n in lengths}
        for n in lengths:
            assert whole[n].result()["choices"][0]["text"] == alone[n]
            events = pieces[n].result()
            assert "".join(e["choices"][0]["text"] for e in events if e["choices"]) == alone[n]
