"""Nodes that are made to fail (--fault, in builds for tests): what their clients see of it."""

import concurrent.futures
import contextlib
import subprocess
import time

import pytest

from processes import BIN, TINY, cluster, metric, request, wait_for

MODEL = TINY / "tiny-9-q8_0.gguf"
FLAGS = ("--max-model-len=256", "--num-kv-blocks=20", "--max-num-seqs=4")
N_CLIENTS, N_TURNS = 6, 5


def ask(c, prompt, **fields):
    body = dict(dict(model="m", prompt=prompt, max_tokens=12, temperature=0, ignore_eos=True,
                     return_token_ids=True), **fields)
    return request(c.http, "POST", "/v1/completions", body)


def ids(answer):
    status, body = answer
    assert status == 200, body
    return body["choices"][0]["token_ids"]


@contextlib.contextmanager
def faulty(*faults, flags=FLAGS):
    with cluster(MODEL, node_flags=(*flags, *(f"--fault={f}" for f in faults))) as c:
        yield c


@pytest.fixture(scope="module")
def quiet():
    with cluster(MODEL, node_flags=FLAGS) as c:
        yield c


def in_use(c):
    return sum(metric(c.node_admins[0], "lockstep_kv_blocks", state=s) for s in ("active", "reserved"))


def decode_failures(c, **labels):
    return metric(c.node_admins[0], "lockstep_decode_failures_total", **labels)


def conversation(c, client):
    """Every turn sends all that was said; no two clients begin alike."""
    said, answers = [], []
    for turn in range(N_TURNS):
        said += [(client * 31 + turn + 7 * i) % 200 for i in range(20)]
        answers.append(ids(ask(c, said)))
        said += answers[-1]
    return answers


def conversations(c):
    with concurrent.futures.ThreadPoolExecutor(N_CLIENTS) as pool:
        return list(pool.map(lambda client: conversation(c, client), range(N_CLIENTS)))


def refused_start(*flags):
    """(exit code, seconds, standard error) of a node that is to refuse to start."""
    started = time.monotonic()
    run = subprocess.run([BIN / "lockstep-node", MODEL, "--listen=tcp://127.0.0.1:0", *flags],
                         capture_output=True, text=True, timeout=60)
    return run.returncode, time.monotonic() - started, run.stderr


def test_an_unknown_fault_is_refused_with_the_names_there_are():
    for program in (["lockstep-node"], ["lockstep", "serve"]):
        run = subprocess.run([BIN / program[0], *program[1:], MODEL, "--fault", "bad-luck"],
                             capture_output=True, text=True)
        assert run.returncode == 2 and len(run.stderr.splitlines()) == 1
        assert "'bad-luck'" in run.stderr and "rank-throws" in run.stderr


def test_two_owners_of_the_kv_cache_switch_are_a_config_mismatch():
    for fault, where in (("rank-configured-otherwise=1", "on rank 1"),
                         ("engine-configured-otherwise", "in the engine")):
        for flags, mine, theirs in (((), "false", "true"), (("--no-kv-cache",), "true", "false")):
            code, seconds, error = refused_start("--tensor-parallel-size=2", "--fault", fault, *flags)
            assert code == 2 and seconds < 5, error
            last = error.splitlines()[-1]
            assert f"config_mismatch: kv_cache is {mine} {where} and {theirs} on rank 0" in last


def test_each_thread_that_is_refused_is_one_line_and_exit_code_2():
    flags = ("--tensor-parallel-size=2", "--threads-per-rank=2", "--listen=tcp://127.0.0.1:0",
             "--admin=127.0.0.1:0", "--max-model-len=128", "--verbosity=0")
    refused = 0
    for number in range(1, 20):
        node = subprocess.Popen([BIN / "lockstep-node", MODEL, *flags, f"--fault=thread-refused={number}"],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if node.stdout.readline().startswith("admin on") and "serving" in node.stdout.readline():
            node.terminate()  # it has no thread of that number
            assert node.wait(30) == 0
            break
        out, err = node.communicate(timeout=30)
        assert node.returncode == 2, (number, err)
        assert len(err.splitlines()) == 1 and "cannot start a thread for" in err, (number, err)
        refused += 1
    assert refused >= 8  # admin, ranks and their helpers, texts, engine, watch, sockets


def test_while_the_allocator_refuses_requests_wait_and_no_answer_changes(quiet):
    expected = conversations(quiet)
    with faulty("allocator-refuses=1..200") as c:
        assert conversations(c) == expected
        wait_for(lambda: in_use(c) == 0, 10, "nothing in use")
        assert [ids(ask(c, [client * 31 + 7 * i for i in range(20)], max_tokens=1))[0]
                for client in range(N_CLIENTS)] == [
                    ids(ask(quiet, [client * 31 + 7 * i for i in range(20)], max_tokens=1))[0]
                    for client in range(N_CLIENTS)]
        for cause in ("compute", "communication", "nonfinite", "plan_mismatch"):
            assert decode_failures(c, cause=cause, outcome="failed") == 0
        assert decode_failures(c, cause="compute", outcome="retried") == 0
        assert metric(c.node_admins[0], "lockstep_kv_invariant_violations_total") == 0


def test_a_rank_that_throws_once_costs_no_answer(quiet):
    prompts = [[n, *range(40 + n)] for n in range(4)]
    with faulty("rank-throws=5", flags=(*FLAGS, "--tensor-parallel-size=2")) as c:
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda p: ids(ask(c, p)), prompts))
        assert answers == [ids(ask(quiet, p)) for p in prompts]
        assert decode_failures(c, cause="compute", outcome="retried") == 1
        assert decode_failures(c, cause="compute", outcome="failed") == 0


def test_a_step_that_keeps_failing_is_one_500_and_leaves_nothing_behind(quiet):
    prompt = list(range(30, 90))
    with faulty("rank-throws=3..5") as c:
        status, body = ask(c, prompt)
        assert status == 500 and body["error"]["code"] == "decode_failed", body
        assert decode_failures(c, cause="compute", outcome="failed") == 1
        wait_for(lambda: in_use(c) == 0, 10, "nothing in use")
        assert ids(ask(c, prompt)) == ids(ask(quiet, prompt)), "what failed is not in the cache"
        assert metric(c.node_admins[0], "lockstep_sequences_waiting") == 0


def test_a_queue_drains_through_steps_that_fail(quiet):
    prompts = [[n, *range(20 + n)] for n in range(8)]  # four wait for the others
    expected = [ids(ask(quiet, p)) for p in prompts]
    with faulty("rank-throws=4..9", flags=(*FLAGS, "--tensor-parallel-size=2")) as c:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda p: ask(c, p), prompts))
        failed = [body for status, body in answers if status != 200]
        assert {body["error"]["code"] for body in failed} == {"decode_failed"}
        assert [ids(a) for a in answers if a[0] == 200] == [
            e for e, a in zip(expected, answers) if a[0] == 200]
        assert decode_failures(c, cause="compute", outcome="failed") == len(failed) < 8
        wait_for(lambda: in_use(c) == 0, 10, "nothing in use")
        assert [ids(ask(c, p)) for p in prompts] == expected


def test_late_ranks_and_slow_copies_fail_no_request(quiet):
    prompt = list(range(5, 55))
    with faulty("rank-is-late=4", "slow-copies", flags=(*FLAGS, "--tensor-parallel-size=2")) as c:
        for n in (50, 45, 37):  # the last two copy the first tokens of a block
            assert ids(ask(c, prompt[:n])) == ids(ask(quiet, prompt[:n]))
        assert decode_failures(c, cause="communication", outcome="retried") == 0


def test_a_nan_is_one_500_and_its_neighbours_do_not_notice(quiet):
    prompts = [[n, *range(30 + n)] for n in range(3)]
    with faulty("row-is-nan=6") as c:
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            answers = list(pool.map(lambda p: ask(c, p), prompts))
        failed = [body for status, body in answers if status != 200]
        assert [body["error"]["code"] for body in failed] == ["decode_failed"]
        for prompt, answer in zip(prompts, answers):
            if answer[0] == 200:
                assert ids(answer) == ids(ask(quiet, prompt))
        assert [ids(ask(c, p)) for p in prompts] == [ids(ask(quiet, p)) for p in prompts]
        assert decode_failures(c, cause="nonfinite", outcome="failed") == 1
