"""What leaves the devices' KV pool comes back from host memory, and no answer shows it."""

from processes import SMOLLM2, cluster, metric, request, total

STORIES = [f"Story {i}. " + "The river rises in the hills and runs past two mills and a bridge. " * 12
           for i in range(4)]
FLAGS = ("--max-model-len=512", "--num-kv-blocks=32", "--max-num-seqs=2")


def ask_all(c):
    """Each story twice over, in turns: a pool for two sequences has evicted the first by then."""
    answers = []
    for story in STORIES * 2:
        status, answer = request(c.http, "POST", "/v1/completions", dict(
            model="m", prompt=story, max_tokens=16, temperature=0, return_token_ids=True))
        assert status == 200, answer
        answers.append(answer)
    return answers


def cached(answer):
    return answer["usage"]["prompt_tokens_details"]["cached_tokens"]


def test_conversations_that_take_turns_keep_their_prefixes_in_host_memory():
    with cluster(SMOLLM2, node_flags=FLAGS) as c:
        without = ask_all(c)
    with cluster(SMOLLM2, node_flags=(*FLAGS, "--host-kv-bytes=200000000", "--tensor-parallel-size=2",
                                      "--threads-per-rank=1", "--sanitize-kv")) as c:
        tiered = ask_all(c)
        admin = c.node_admins[0]
        assert metric(admin, "lockstep_kv_transfers_total", direction="load") > 0
        assert metric(admin, "lockstep_kv_host_mismatches_total") == 0
        assert total(admin, "lockstep_kv_invariant_violations_total") == 0
        assert metric(admin, "lockstep_kv_blocks", tier="host", state="cached") > 0
        assert metric(admin, "lockstep_kv_blocks", tier="host", state="pinned") == 0
        assert metric(admin, "lockstep_memory_bytes", tag="kv_host") > 0
        status, cleared = request(admin, "POST", "/v1/clear_kv_cache")
        assert status == 200 and cleared["n_host_cleared"] > 0
        assert metric(admin, "lockstep_kv_blocks", tier="host", state="cached") == 0
    ids = lambda answers: [a["choices"][0]["token_ids"] for a in answers]
    assert ids(tiered) == ids(without)
    assert [cached(a) for a in without[4:]] != [cached(a) for a in tiered[4:]]
    for answer in tiered[4:]:
        prompt = answer["usage"]["prompt_tokens"]
        assert cached(answer) >= (prompt - 1) // 16 * 16 - 16, answer["usage"]
