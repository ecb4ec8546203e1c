"""Nodes on emulated GPUs (--device cuda): they give the CPU's tokens, whatever becomes of a request,
and a GPU that fails ends its node and no other."""

import concurrent.futures
import contextlib
import os
import subprocess

import pytest

from processes import (BIN, TINY, Cluster, Process, answers, cluster, free_port, metric,
                       request, stream, total, wait_for)

MODULE = BIN.parent / "tests" / "libemulated_cuda_module.so"
NCCL = BIN.parent / "tests" / "emulated_nccl" / "libnccl.so.2"

MODEL = TINY / "tiny-9-q8_0.gguf"
FLAGS = ("--max-model-len=256", "--num-kv-blocks=64", "--max-num-seqs=4")
ON_GPUS = ("--device=cuda", f"--cuda-module={MODULE}", f"--nccl-library={NCCL}")
# Work runs when the host asks for its result: a host that looks too early, or reuses memory too
# early, changes the tokens.
LAZY = {"LOCKSTEP_EMULATION": "lazy"}


@contextlib.contextmanager
def on_gpus(*flags, ranks=1, env=(), model=MODEL):
    with cluster(model, node_flags=(*ON_GPUS, f"--tensor-parallel-size={ranks}", *FLAGS, *flags),
                 node_env=LAZY | dict(env)) as c:
        yield c


@pytest.fixture(scope="module")
def cpu():
    with cluster(MODEL, node_flags=("--device=cpu", *FLAGS)) as c:
        yield c


@pytest.fixture(scope="module")
def two_gpus():
    with on_gpus(ranks=2) as c:
        yield c


def prompt_of(n, seed=1):
    return [(seed * 31 + 7 * i * i + i) % 200 for i in range(n)]


def ask(c, prompt, **fields):
    body = dict(dict(model="m", prompt=prompt, max_tokens=6, temperature=0, ignore_eos=True,
                     return_token_ids=True), **fields)
    status, answer = request(c.http, "POST", "/v1/completions", body)
    assert status == 200, answer
    return answer


def choices(answer):
    """What the client sees of each choice: tokens, text, log-probabilities, reason."""
    return [{key: choice[key] for key in ("token_ids", "text", "logprobs", "finish_reason")}
            for choice in answer["choices"]]


def expect_equal(gpu, cpu, prompt, **fields):
    answer = ask(gpu, prompt, **fields)
    assert choices(answer) == choices(ask(cpu, prompt, **fields)), (len(prompt), fields)
    return answer


def cached(answer):
    return answer["usage"]["prompt_tokens_details"]["cached_tokens"]


# The same tokens


@pytest.mark.parametrize("ranks", [1, 3])
def test_answers_are_the_cpus(cpu, ranks):
    with on_gpus(ranks=ranks) as gpu:
        page = request(gpu.node_admins[0], "GET", "/metrics")[1]
        assert f'backend="cuda/emulated GPU 0 x{ranks} ranks"' in page
        for prompt in (prompt_of(1), prompt_of(40)):
            expect_equal(gpu, cpu, prompt)
            expect_equal(gpu, cpu, prompt, temperature=0.9, top_p=0.9, seed=7, logprobs=3)


def test_every_kind_of_sampling_gives_the_cpus_tokens_and_logprobs(cpu, two_gpus):
    for fields in (dict(temperature=1.0, seed=3), dict(temperature=0.8, top_k=5, seed=4, n=2),
                   dict(temperature=1.3, min_p=0.1, seed=5), dict(logprobs=5),
                   dict(temperature=0.7, top_p=0.5, top_k=40, seed=6, logprobs=2),
                   dict(frequency_penalty=0.8, presence_penalty=0.3),
                   dict(repetition_penalty=1.4, temperature=0.5, seed=8)):
        expect_equal(two_gpus, cpu, prompt_of(20, seed=2), **fields)


def test_streams_send_what_a_whole_answer_holds(cpu, two_gpus):
    body = dict(model="m", prompt=prompt_of(30, 3), max_tokens=8, temperature=0, ignore_eos=True)
    texts = ["".join(event["choices"][0]["text"] for event in stream(c.http, "/v1/completions", body)
                     if event["choices"]) for c in (two_gpus, cpu)]
    assert texts[0] == texts[1] == ask(cpu, prompt_of(30, 3), max_tokens=8)["choices"][0]["text"]


def test_a_client_that_hangs_up_leaves_no_trace(cpu, two_gpus):
    body = dict(model="m", prompt=prompt_of(50, 4), max_tokens=150, temperature=0, ignore_eos=True)
    events = stream(two_gpus.http, "/v1/completions", body)
    next(events)
    events.close()
    wait_for(lambda: metric(two_gpus.node_admins[0], "lockstep_requests_total",
                            outcome="cancelled") == 1, 60, "the request to be cancelled")
    wait_for(lambda: two_gpus.blocks_in_use() == 0, 60, "blocks of the request to come back")
    expect_equal(two_gpus, cpu, prompt_of(50, 4))


def test_a_prefix_from_the_cache_changes_no_token(cpu, two_gpus):
    prompt = prompt_of(70, 5)
    expect_equal(two_gpus, cpu, prompt)
    assert cached(expect_equal(two_gpus, cpu, prompt)) >= 64
    assert cached(expect_equal(two_gpus, cpu, prompt[:40] + prompt_of(20, 6))) >= 32


def test_a_crowd_under_pressure_is_served_and_preempted(cpu):
    prompts = [prompt_of(40, seed) for seed in range(10, 16)]
    with on_gpus("--num-kv-blocks=17", ranks=2) as gpu:
        # Short answers first, so that little is reserved for the long ones.
        for seed in range(3):
            ask(gpu, prompt_of(3, seed), max_tokens=1)
        with concurrent.futures.ThreadPoolExecutor(len(prompts)) as pool:
            got = list(pool.map(lambda p: choices(ask(gpu, p, max_tokens=40)), prompts))
        assert got == [choices(ask(cpu, p, max_tokens=40)) for p in prompts]
        assert total(gpu.node_admins[0], "lockstep_preemptions_total") > 0
        assert total(gpu.node_admins[0], "lockstep_kv_invariant_violations_total") == 0


def test_blocks_come_back_from_host_memory(cpu):
    prompts = [prompt_of(100, seed) for seed in range(20, 24)]
    with on_gpus("--num-kv-blocks=17", "--host-kv-bytes=20000000", "--sanitize-kv", ranks=2) as gpu:
        for prompt in prompts * 2:
            expect_equal(gpu, cpu, prompt, max_tokens=3)
        admin = gpu.node_admins[0]
        assert metric(admin, "lockstep_kv_transfers_total", direction="load") > 0
        assert metric(admin, "lockstep_kv_host_mismatches_total") == 0
        assert metric(admin, "lockstep_memory_bytes", tag="kv_host", place="host") > 0
        assert metric(admin, "lockstep_memory_bytes", tag="kv", place="device", rank="1") > 0


@pytest.mark.parametrize("flag", ["--no-kv-cache", "--no-cache-prompt", "--kv-cache-dtype=f16",
                                  "--kv-cache-dtype=q8_0", "--kv-cache-dtype=k16v16"])
def test_the_switches_of_the_kv_cache_give_the_cpus_tokens(cpu, flag):
    with contextlib.ExitStack() as stack:
        gpu = stack.enter_context(on_gpus(flag))
        same = cpu
        if "dtype" in flag:
            same = stack.enter_context(cluster(MODEL, node_flags=("--device=cpu", flag, *FLAGS)))
        for prompt in (prompt_of(20, 7), prompt_of(33, 8)):
            expect_equal(gpu, same, prompt, max_tokens=4)
            expect_equal(gpu, same, prompt, max_tokens=4)


# Failures


def retried(c):
    """Steps that were run again. With two in flight, the first to end may not be the one that threw."""
    return sum(metric(c.node_admins[0], "lockstep_decode_failures_total", cause=cause,
                      outcome="retried") for cause in ("compute", "communication"))


def test_a_rank_that_throws_fails_no_request(cpu):
    with on_gpus("--fault=rank-throws=3..3", ranks=2) as gpu:
        expect_equal(gpu, cpu, prompt_of(20, 9))
        expect_equal(gpu, cpu, prompt_of(20, 10))
        assert retried(gpu) > 0


def test_a_rank_that_hangs_fails_no_request(cpu):
    with on_gpus("--fault=rank-stalls=3..3", ranks=2) as gpu:
        expect_equal(gpu, cpu, prompt_of(20, 11))
        expect_equal(gpu, cpu, prompt_of(20, 12))
        assert retried(gpu) > 0


def test_a_restarted_node_answers_as_before(cpu):
    c = Cluster(MODEL, node_flags=(*ON_GPUS, *FLAGS), node_env=LAZY)
    try:
        c.wait_ready()
        before = choices(expect_equal(c, cpu, prompt_of(25, 13)))
        c.nodes[0].child.kill()
        c.nodes[0].child.wait()
        c.restart_node(0)
        body = dict(model="m", prompt=[1], max_tokens=1)
        wait_for(lambda: request(c.http, "POST", "/v1/completions", body)[0] == 200, 60,
                 "the node to be back")
        assert choices(ask(c, prompt_of(25, 13))) == before
    finally:
        c.stop()


def test_an_error_of_the_device_ends_the_node_in_one_line_and_its_streams(tmp_path, cpu):
    fault_file = tmp_path / "fault"
    c = Cluster(MODEL, node_flags=(*ON_GPUS, *FLAGS),
                node_env=LAZY | {"LOCKSTEP_EMULATION_FAULT_FILE": str(fault_file)})
    try:
        c.wait_ready()
        expect_equal(c, cpu, prompt_of(20, 14))
        body = dict(model="m", prompt=prompt_of(20, 15), max_tokens=200, temperature=0,
                    ignore_eos=True)
        events = stream(c.http, "/v1/completions", body)
        first = next(events)
        assert "error" not in first
        n_lines = len(c.nodes[0].output().splitlines())
        fault_file.touch()
        last = list(with_error(events))[-1]
        assert last["error"]["code"] == "decode_failed", last
        assert c.nodes[0].child.wait(60) == 70
        said = [line for line in c.nodes[0].output().splitlines()[n_lines:]
                if not line.startswith("emulated")]
        assert len(said) == 1 and "CUDA" in said[0] and "cuda:0" in said[0], said
    finally:
        c.coordinator.stop()
        c.nodes[0].stop()


def with_error(events):
    """Events until the stream ends; one that ends with an error has no [DONE]."""
    try:
        yield from events
    except AssertionError:
        pass


# Bad input


def refused(*flags, env=()):
    """(exit code, lines on standard error) of a node that is to refuse to start."""
    done = subprocess.run([BIN / "lockstep-node", MODEL, "--listen=tcp://127.0.0.1:0", *FLAGS, *flags],
                          capture_output=True, text=True, timeout=120,
                          env=os.environ | LAZY | dict(env))
    return done.returncode, done.stderr.splitlines()


@pytest.mark.parametrize("flags, env, parts", [
    (("--device=cuda", "--cuda-module=/nowhere/module.so"), {}, ["device: cuda", "/nowhere/module.so"]),
    (ON_GPUS, {"LOCKSTEP_EMULATION_DEVICES": "0"}, ["device: cuda", "no GPU"]),
    ((*ON_GPUS, "--tensor-parallel-size=3"), {"LOCKSTEP_EMULATION_DEVICES": "2"},
     ["device: cuda", "3 ranks", "2"]),
    ((*ON_GPUS[:2], "--nccl-library=/nowhere/libnccl.so.2", "--tensor-parallel-size=2"), {},
     ["device: cuda", "NCCL", "/nowhere/libnccl.so.2"]),
    (ON_GPUS, {"LOCKSTEP_EMULATION_MEMORY_MIB": "1"}, ["device: cuda", "1048576 free"]),
    (ON_GPUS, {"LOCKSTEP_EMULATION_CAPABILITY": "80"},
     ["device: cuda", "no code for cuda:0 emulated GPU 0 of compute capability 8.0", "9.0 and PTX of 9.0"]),
    ((*ON_GPUS, "--num-kv-blocks=1000000"), {},
     ["num_kv_blocks: 1000000", "1073741824 bytes free", "for weights", "for activations",
      "for scratch of ops", "reserved for CUDA and NCCL", "left for them"]),
    (("--device=gpu",), {}, ["device: 'gpu'", "auto, cpu, cuda"]),
])
def test_what_cuda_lacks_is_one_line_and_exit_code_2(flags, env, parts):
    code, lines = refused(*flags, env=env)
    assert code == 2 and len(lines) == 1, lines
    assert [part for part in parts if part not in lines[0]] == [], lines


def test_the_backend_is_named_after_the_device(two_gpus):
    assert "backend=cuda/emulated GPU 0 x2 ranks " in two_gpus.nodes[0].output()


def test_the_kv_pool_may_take_all_that_the_rest_leaves(cpu):
    flags = (*ON_GPUS, "--max-model-len=256", "--max-num-seqs=4", "--kv-cache-memory-fraction=1")
    with cluster(MODEL, node_flags=flags, node_env=LAZY | {"LOCKSTEP_EMULATION_MEMORY_MIB": "128"}) as c:
        assert choices(ask(c, prompt_of(20))) == choices(ask(cpu, prompt_of(20)))
        # 64 MiB are reserved for CUDA, of which the emulation uses some kilobytes; less than a block
        # more is left.
        assert 63 << 20 < metric(c.node_admins[0], "lockstep_device_free_bytes", rank=0) < 66 << 20


@pytest.mark.parametrize("module, env, reason", [
    ("/nowhere/module.so", {}, "/nowhere/module.so"),
    (MODULE, {"LOCKSTEP_EMULATION_MEMORY_MIB": "1"}, "1048576 free"),
])
def test_auto_takes_the_cpu_and_says_so_once(module, env, reason):
    admin = free_port()
    node = Process(BIN / "lockstep-node", MODEL, "--device=auto", f"--cuda-module={module}",
                   f"--listen=tcp://127.0.0.1:{free_port()}", f"--admin=127.0.0.1:{admin}", *FLAGS,
                   env=LAZY | env)
    try:
        wait_for(lambda: answers(admin), 60, "the node to be ready")
        lines = [line for line in node.output().splitlines() if reason in line]
        assert len(lines) == 1 and "the model runs on the CPU" in lines[0], node.output()
        assert "backend=cpu/" in node.output()
    finally:
        node.stop()
