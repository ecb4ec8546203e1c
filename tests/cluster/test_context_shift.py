"""--context-shift from outside: an output longer than the context, and what is refused."""

import pytest

from processes import TINY, cluster, metric, request, total

LIMIT, KEEP, OUTPUTS = 64, 8, 200
PROMPT = [7 + i for i in range(20)]
MODELS = [TINY / "tiny-9-f32.gguf", TINY / "tiny-l31-f32.gguf"]


def complete(c, prompt, **fields):
    body = dict(model="m", prompt=prompt, temperature=0, ignore_eos=True, return_token_ids=True)
    status, answer = request(c.http, "POST", "/v1/completions", dict(body, **fields))
    assert status == 200, answer
    return answer


def ids(answer):
    return answer["choices"][0]["token_ids"]


def by_fresh_requests(c):
    """The output of requests that each begin with what a cut leaves of the context before."""
    context, out = list(PROMPT), []
    while len(out) < OUTPUTS:
        n = min(OUTPUTS - len(out), LIMIT - len(context))
        more = ids(complete(c, context, max_tokens=n, cache_prompt=False))
        context += more
        out += more
        dropped = (len(context) - KEEP) // 2
        context = context[:KEEP] + context[KEEP + dropped:]
    return out


@pytest.mark.parametrize("model", MODELS, ids=lambda path: path.stem)
def test_an_output_outgrows_the_context_and_each_cut_is_a_fresh_request(model):
    flags = (f"--max-model-len={LIMIT}", "--num-kv-blocks=64")
    with cluster(model, node_flags=flags) as plain, \
            cluster(model, node_flags=(*flags, "--context-shift", f"--keep={KEEP}",
                                       "--sanitize-kv")) as shifting:
        default = complete(plain, PROMPT)
        assert default["choices"][0]["finish_reason"] == "length"
        assert default["usage"]["total_tokens"] == LIMIT
        status, refused = request(plain.http, "POST", "/v1/completions", dict(
            model="m", prompt=PROMPT, max_tokens=OUTPUTS))
        assert status == 400 and refused["error"]["code"] == "context_length_exceeded"

        expected = by_fresh_requests(plain)
        for cached in (0, len(PROMPT) - 1):
            answer = complete(shifting, PROMPT, max_tokens=OUTPUTS)
            assert ids(answer) == expected
            assert answer["choices"][0]["finish_reason"] == "length"
            assert answer["usage"]["completion_tokens"] == OUTPUTS
            assert answer["usage"]["prompt_tokens"] == len(PROMPT)
            assert 0 <= answer["usage"]["prompt_tokens_details"]["cached_tokens"] <= cached
        node = shifting.node_admins[0]
        assert metric(node, "lockstep_context_shifts_total") == 12
        assert metric(node, "lockstep_recomputed_tokens_total", cause="context_shift") > 0
        assert metric(node, "lockstep_recomputed_tokens_total", cause="preemption") == 0
        assert total(node, "lockstep_kv_invariant_violations_total") == 0

        assert len(ids(complete(shifting, PROMPT))) == LIMIT - len(PROMPT)
        status, refused = request(shifting.http, "POST", "/v1/completions", dict(
            model="m", prompt=[5] * LIMIT, max_tokens=1))
        assert status == 400 and refused["error"]["code"] == "context_length_exceeded"


def test_describe_and_the_fingerprint_say_how_contexts_are_cut():
    with cluster(MODELS[0], node_flags=("--max-model-len=64", "--context-shift",
                                        "--keep=-1")) as c:
        (node,) = request(c.node_admins[0], "GET", "/v1/describe")[1]["nodes"]
        assert node["settings"]["context_shift"] == "true" and node["settings"]["keep"] == "-1"
        page = request(c.node_admins[0], "GET", "/metrics")[1]
        assert '-64--1"' in page
