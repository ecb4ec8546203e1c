"""The switches of the KV cache: what is refused at start, in one line and with both values, and what is refused later."""

import http.client
import json
import subprocess
import threading

import pytest

from processes import BIN, SMOLLM2, TINY, cluster, request, stream, wait_for

MODEL = TINY / "tiny-9-q8_0.gguf"
TENANTS = "tenants:\n- {name: gold, floor: 4, weight: 2}\n- {name: silver, ceiling: 8}\n"


def check(*flags):
    """(exit code, lines on standard error) of a start that ends before the weights are read."""
    done = subprocess.run([BIN / "lockstep-node", MODEL, "--check", *flags], capture_output=True,
                          text=True, timeout=60)
    return done.returncode, done.stderr.splitlines()


@pytest.mark.parametrize("flags, parts", [
    ("--block-size=12", ["block_size: 12", "power of two"]),
    ("--num-kv-blocks=-1", ["num_kv_blocks: -1"]),
    ("--kv-cache-memory-bytes=5", ["kv_cache_memory_bytes: 5", "no KV block"]),
    ("--num-kv-blocks=64 --kv-cache-memory-bytes=5000000", ["num_kv_blocks: 64", "memory_bytes: 5000000"]),
    ("--num-kv-blocks=64 --kv-cache-memory-fraction=0.5", ["num_kv_blocks: 64", "fraction: 0.5"]),
    ("--kv-cache-memory-fraction=1.5", ["kv_cache_memory_fraction: 1.5", "0 to 1"]),
    ("--max-num-seqs=8 --max-num-batched-tokens=4", ["max_num_batched_tokens: 4", "max_num_seqs: 8"]),
    ("--host-kv-bytes=-1", ["host_kv_bytes: -1"]),
    ("--host-kv-bytes=5", ["host_kv_bytes: 5", "no KV block"]),
    ("--host-kv-bytes=50000000 --no-kv-cache", ["host_kv_bytes: 50000000", "kv_cache: false"]),
    ("--host-kv-bytes=50000000 --no-cache-prompt", ["host_kv_bytes: 50000000", "prefix_cache: false"]),
    ("--max-num-queued-reqs=0", ["max_num_queued_reqs: 0"]),
    ("--max-num-queued-tokens=-2", ["max_num_queued_tokens: -2"]),
    ("--verbosity=4", ["verbosity: 4", "0 to 3"]),
    ("--kv-cache-dtype=f8", ["kv_cache_dtype: 'f8'"]),
    ("--keep=8", ["keep: 8", "context_shift", "false"]),
    ("--context-shift --keep=63 --max-model-len=64", ["keep: 63", "max_model_len: 64"]),
    ("--context-shift --keep=-2", ["keep: -2"]),
    ("--prefix-cache --no-cache-prompt", ["--prefix-cache=true", "--no-cache-prompt=true"]),
])
def test_a_bad_switch_is_one_line_and_exit_code_2(flags, parts):
    code, lines = check(*flags.split())
    assert code == 2 and len(lines) == 1, lines
    assert [part for part in parts if part not in lines[0]] == []


@pytest.mark.parametrize("tenants, message", [
    ("[{name: gold, floor: 9, ceiling: 5}]", ":1: tenant 'gold': floor: 9 is above ceiling: 5"),
    ("\n- name: gold\n- name: gold", ":3: tenant 'gold': is given twice, first at "),
    ("\n- name: gold\n  flor: 5", ":3: unknown key 'flor'; did you mean 'floor'?"),
    ("[{name: a, floor: 30}, {name: b, floor: 40}]", "70 blocks, the KV pool has 64"),
])
def test_tenants_that_contradict_are_named_with_file_and_line(tmp_path, tenants, message):
    (tmp_path / "node.yaml").write_text("tenants: " + tenants)
    code, lines = check("--num-kv-blocks=64", f"--config={tmp_path / 'node.yaml'}")
    assert code == 2 and len(lines) == 1, lines
    assert str(tmp_path / "node.yaml") in lines[0] and message in lines[0]


def test_a_pool_smaller_than_one_sequence_starts_with_a_warning_that_names_both():
    code, lines = check("--num-kv-blocks=4", "--max-model-len=512")
    assert code == 0 and len(lines) == 1
    assert "4 blocks" in lines[0] and "512 tokens (32 blocks)" in lines[0]


UNNEEDED = [("--defrag-thold", "0.1", "paged"), ("--cache-reuse", "256", "exact"),
            ("--swap-space", "4", "computed again")]


@pytest.mark.parametrize("spelled", ["{flag}={value}", "{flag} {value}", "{flag}"])
def test_flags_of_other_engines_are_accepted_and_say_why_they_are_not_needed(spelled):
    flags = " ".join(spelled.format(flag=flag, value=value) for flag, value, _ in UNNEEDED)
    code, lines = check("--num-kv-blocks=64", *flags.split())
    assert code == 0 and len(lines) == 3, lines
    for line, (flag, _, why) in zip(lines, UNNEEDED):
        assert f"{flag} has no effect: " in line and why in line, line


@pytest.mark.parametrize("flag, value, why", UNNEEDED)
def test_keys_of_other_engines_are_errors_that_say_why(tmp_path, flag, value, why):
    key = flag[2:].replace("-", "_")
    (tmp_path / "node.yaml").write_text(f"block_size: 16\n{key}: {value}\n")
    code, lines = check(f"--config={tmp_path / 'node.yaml'}")
    assert code == 2 and len(lines) == 1, lines
    assert f"node.yaml:2: {key} is a setting of other engines" in lines[0] and why in lines[0]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    settings = tmp_path_factory.mktemp("settings") / "node.yaml"
    settings.write_text(TENANTS)
    with cluster(MODEL, node_flags=(
            "--config", settings, "--num-kv-blocks=32", "--max-model-len=512", "--max-num-seqs=1",
            "--max-num-queued-reqs=2", "--max-num-queued-tokens=100", "--verbosity=3")) as c:
        yield c


def ask(c, **fields):
    body = dict(dict(model="m", prompt=[5, 6, 7], max_tokens=2), **fields)
    return request(c.http, "POST", "/v1/completions", body)


@pytest.mark.parametrize("fields, param", [
    (dict(tenant="bronze"), "tenant"),
    (dict(tenant="t" * 65), "tenant"),
    (dict(priority=-1), "priority"),
    (dict(deadline_ms=0), "deadline_ms"),
    (dict(deadline_ms=-5), "deadline_ms"),
    (dict(cache_salt="s" * 257), "cache_salt"),
    (dict(cache_salt=5), "cache_salt"),
    (dict(cache_retention=dict(priority=101, seconds=5)), "cache_retention.priority"),
    (dict(cache_retention=dict(priority=1)), "cache_retention.seconds"),
])
def test_a_bad_field_is_a_400_that_names_it(small, fields, param):
    status, answer = ask(small, **fields)
    assert status == 400 and answer["error"]["param"] == param, answer
    assert param in answer["error"]["message"]


def test_tenants_priorities_deadlines_and_retention_are_taken(small):
    plain = ask(small)[1]["choices"]
    for fields in (dict(tenant="gold"), dict(tenant="silver", priority=3), dict(deadline_ms=60000),
                   dict(cache_retention=dict(priority=80, seconds=60))):
        status, answer = ask(small, **fields)
        assert status == 200 and answer["choices"] == plain, fields


def refused_for_load(c, **fields):
    """(code, message, Retry-After) of a request that must not be taken."""
    connection = http.client.HTTPConnection("127.0.0.1", c.http, timeout=60)
    connection.request("POST", "/v1/completions", json.dumps(dict(model="m", **fields)),
                       {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    assert response.status == 429, answer
    return answer["error"]["code"], answer["error"]["message"], response.getheader("Retry-After")


def test_a_full_queue_is_answered_with_429_and_both_numbers():
    # SmolLM2 takes half a minute for its 4,000 tokens; a tiny model can be done before two requests wait.
    with cluster(SMOLLM2, node_flags=("--max-model-len=4096", "--max-num-seqs=1",
                                      "--max-num-queued-reqs=2", "--max-num-queued-tokens=100")) as c:
        running = stream(c.http, "/v1/completions",
                         dict(model="m", prompt=[5, 6, 7], max_tokens=4000, ignore_eos=True))
        next(running)  # has the only slot
        waiting = [threading.Thread(target=ask, args=(c,), kwargs=dict(prompt=[9] * 60))]
        waiting[0].start()
        status = lambda: request(c.node_admins[0], "GET", "/metrics")[1]
        wait_for(lambda: "lockstep_sequences_waiting 1" in status(), what="one waits")
        code, message, retry = refused_for_load(c, prompt=[8] * 50, max_tokens=1)
        assert code == "overloaded" and "60 prompt tokens" in message and "100" in message
        assert retry == "1"
        waiting.append(threading.Thread(target=ask, args=(c,)))
        waiting[1].start()
        wait_for(lambda: "lockstep_sequences_waiting 2" in status(), what="two wait")
        code, message, retry = refused_for_load(c, prompt=[8], max_tokens=1)
        assert code == "overloaded" and "2 requests are waiting, the queue holds 2" in message
        assert retry == "1"
        running.close()
        for thread in waiting:
            thread.join()


def test_verbosity_3_tells_of_each_request(small):
    ask(small, prompt=[11] * 40, max_tokens=3)
    ask(small, prompt=[11] * 40, max_tokens=3)
    lines = lambda: [line for line in small.nodes[0].output().splitlines() if "request ended" in line
                     and "prompt_tokens=40 " in line and "completion_tokens=3 " in line]
    wait_for(lambda: len(lines()) >= 2, what="two lines")
    ends = lines()
    assert "prompt_tokens=40 cached_tokens=0 computed_tokens=40 completion_tokens=3" in ends[-2]
    assert "prompt_tokens=40 cached_tokens=32 computed_tokens=8 completion_tokens=3" in ends[-1]
