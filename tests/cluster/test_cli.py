"""The `lockstep` command: what it prints, and how it refuses."""

import json
import subprocess

import pytest
from processes import BIN, SMOLLM2, TINY, cluster, free_port, metric, wait_for

MODEL = TINY / "tiny-9-q8_0.gguf"
COMMANDS = ["serve", "chat", "complete", "status", "top", "inspect", "bench"]


@pytest.fixture(scope="module")
def tiny():
    with cluster(MODEL, node_flags=["--max-model-len", "512"]) as c:
        yield c


def lockstep(*arguments, stdin=""):
    """(exit code, standard output, standard error)."""
    done = subprocess.run([BIN / "lockstep", *map(str, arguments)], capture_output=True, text=True,
                          timeout=60, input=stdin)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("prompt, sampling", [
    ("Once upon a time", ["--temperature", "0"]),
    ("<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n", ["--temperature", "0"]),
    ("1, 2, 3, <|im_start|>", ["--seed", "7"]),
])
def test_complete_is_the_same_in_process_and_over_the_wire(tiny, prompt, sampling):
    ask = ["--prompt", prompt, "--max-tokens", "24", *sampling]
    code, here, err = lockstep("complete", MODEL, "--max-model-len", "512", *ask)
    assert code == 0 and len(here) > 1, err
    assert lockstep("complete", "--connect", tiny.zmq, *ask) == (0, here, "")


def test_chat_is_the_same_in_process_and_over_the_wire(tiny):
    ask = ["--system", "Be brief.", "--prompt", "Hello", "--max-tokens", "16", "--temperature", "0"]
    code, here, err = lockstep("chat", MODEL, *ask)
    assert code == 0 and len(here) > 1, err
    assert lockstep("chat", "--connect", tiny.zmq, *ask) == (0, here, "")


def test_chat_reads_lines_and_remembers_them(tiny):
    ask = ["chat", "--connect", tiny.zmq, "--max-tokens", "8", "--temperature", "0", "--stats"]
    code, out, err = lockstep(*ask, stdin="Hello\nHello\n")
    assert code == 0 and out
    first, second = [line for line in err.splitlines() if "new tokens" in line]
    assert "KV blocks in use" in first and "tokens/s" in first
    n_first, n_second = (int(line.split("[")[1].split()[0]) for line in (first, second))
    assert n_second > n_first + 8, "the second prompt holds the first answer"


def test_status_shows_each_node_on_a_line(tiny):
    def lines():
        code, out, _ = lockstep("status", "--connect", tiny.zmq)
        assert code == 0
        return out.splitlines()

    # A node's figures are those of its last heartbeat, which may be older than the last test's end.
    wait_for(lambda: "kv_blocks_active=0 " in lines()[1], what="a heartbeat of the idle node")
    running, node = lines()
    assert running == "0 requests running"
    assert " ready model=m " in node and " running=0 waiting=0 " in node


def test_status_of_an_absent_server_fails_in_one_line():
    code, out, err = lockstep("status", "--connect", f"tcp://127.0.0.1:{free_port()}")
    assert code == 1 and out == "" and len(err.splitlines()) == 1 and "no answer" in err


def test_inspect_prints_the_models_numbers_and_tensors():
    code, out, _ = lockstep("inspect", MODEL)
    numbers = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert code == 0 and int(numbers["layers"]) > 0 and int(numbers["hidden_dim"]) > 0
    assert "Q8_0" in numbers or "q8_0" in numbers
    assert " 1" in out.splitlines()[-1] and out.splitlines()[-1].startswith("tensor parallel")
    assert numbers["kv"] == "cache        k16v8, %d bytes a token" % json.loads(
        lockstep("inspect", MODEL, "--json")[1])["kv_bytes_per_token"]
    code, longer, _ = lockstep("inspect", MODEL, "--tensors")
    assert code == 0 and longer.startswith(out) and "blk.0.attn_q.weight" in longer


def test_inspect_reads_a_folder_as_the_file_of_the_same_weights():
    code, out, err = lockstep("inspect", TINY / "tiny-tp-f32-3-files", "--json")
    assert code == 0, err
    of_folder = json.loads(out)
    of_file = json.loads(lockstep("inspect", TINY / "tiny-tp-f32.gguf", "--json")[1])
    assert of_folder.pop("name") == "tiny-tp-f32-3-files" and of_file.pop("name")
    assert of_folder == of_file
    code, out, _ = lockstep("inspect", TINY / "tiny-tp-f32-3-files", "--tensors")
    assert code == 0 and "model.layers.0.self_attn.q_proj.weight" in out


@pytest.mark.parametrize("dtype, per_token", [("auto", 18360), ("f16", 23040)])
def test_inspect_and_the_ledger_agree_on_the_bytes_of_a_token(dtype, per_token):
    code, out, err = lockstep("inspect", SMOLLM2, "--kv-cache-dtype", dtype, "--json")
    assert code == 0, err
    shape = json.loads(out)
    assert shape["kv_bytes_per_token"] == per_token
    assert shape["kv_cache_dtype"] == ("k16v8" if dtype == "auto" else dtype)
    with cluster(SMOLLM2, node_flags=["--kv-cache-dtype", dtype, "--num-kv-blocks", "64",
                                      "--max-model-len", "512"]) as c:
        assert metric(c.node_admins[0], "lockstep_memory_bytes", tag="kv") == 64 * 16 * per_token


def test_bench_prints_json_with_fixed_keys():
    code, out, err = lockstep("bench", MODEL, "--prompt-tokens", "8,16", "--gen-tokens", "4",
                              "--parallel", "1,2", "--json")
    assert code == 0, err
    cases = json.loads(out)
    assert [(c["prompt_tokens"], c["parallel"]) for c in cases] == [(8, 1), (8, 2), (16, 1), (16, 2)]
    for case in cases:
        assert set(case) == {"prompt_tokens", "gen_tokens", "parallel", "prefill_tokens_per_s",
                             "decode_tokens_per_s", "ttft_ms", "peak_rss_bytes"}
        assert case["gen_tokens"] == 4 and all(value > 0 for value in case.values()), case


def test_bench_says_why_there_is_no_decode_figure():
    ask = ["bench", MODEL, "--prompt-tokens", "64", "--parallel", "8",
           "--max-num-batched-tokens", "8"]
    for tokens, why in (("2", "before the last prompt was in"), ("1", "gen_tokens is 1")):
        code, out, err = lockstep(*ask, "--gen-tokens", tokens, "--json")
        assert code == 0, err
        (case,) = json.loads(out)
        assert case["decode_tokens_per_s"] is None and why in case["why_no_decode_figure"]
        code, out, err = lockstep(*ask, "--gen-tokens", tokens)
        assert code == 0 and why in out.splitlines()[-1], (out, err)


def test_bench_prints_a_table():
    code, out, _ = lockstep("bench", "--model", MODEL, "--prompt-tokens", "8", "--gen-tokens", "2",
                            "--parallel", "1")
    assert code == 0 and len(out.splitlines()) == 3 and "prefill tokens/s" in out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_lists_the_settings(command):
    code, out, err = lockstep(command, "--help")
    assert code == 0 and err == "" and "--" in out
    assert command in lockstep("--help")[1]


@pytest.mark.parametrize("arguments, words", [
    (["bench", MODEL, "--prompt-tokens", "8,x"], ["prompt_tokens", "'x'"]),
    (["bench", MODEL, "--gen-tokens", "0"], ["gen_tokens"]),
    (["bench", MODEL, "--gen-tokens", "9223372036854775807"], ["gen_tokens", "9223372036854775807"]),
    (["bench", MODEL, "--max-num-batched-tokens", "-5"], ["max_num_batched_tokens", "-5"]),
    (["bench", MODEL, "--threads", "-1"], ["threads_per_rank", "-1"]),
    (["bench", MODEL, "--parallel", "0"], ["parallel", "'0'"]),
    (["complete", MODEL], ["--prompt"]),
    (["complete", "--prompt", "x"], ["--connect"]),
    (["chat", "missing.gguf", "--prompt", "x"], ["missing.gguf"]),
    (["chat", "--connect", "nonsense", "--prompt", "x"], ["nonsense"]),
    (["inspect"], ["model"]),
    (["inspect", MODEL, "--tensor"], ["--tensors"]),
    (["status", "--connect", "nonsense"], ["nonsense"]),
    (["status", "--wait-ready", "soon"], ["wait", "soon"]),
    (["complete", MODEL, "--prompt", "x", "--max-tokens", "-5"], ["max_tokens: -5"]),
    (["chat", MODEL, "--prompt", "x", "--top-k", "4294967296"], ["top_k: 4294967296"]),
    (["status", "--wait-ready", "-1"], ["wait_ready: -1"]),
    (["status", "--wait-ready", "9223372036854775807"], ["wait_ready: 9223372036854775807"]),
    (["serve"], ["model"]),
])
def test_bad_arguments_are_one_line_and_exit_code_two(arguments, words):
    code, out, err = lockstep(*arguments)
    assert code == 2 and out == "" and len(err.splitlines()) == 1, (out, err)
    assert all(word in err for word in words), err


@pytest.mark.parametrize("flags, code", [
    ([], 0),
    (["--insecure", "--events", "tcp://0.0.0.0:0"], 0),  # as a start with these would do
    (["--events", "tcp://0.0.0.0:0"], 2),
    (["--http", "127.0.0.1:8000", "--admin", "127.0.0.1:8000"], 2),
    (["--max-model-len", "-5"], 2),
])
def test_serve_checks_what_a_start_would(flags, code):
    got, out, err = lockstep("serve", MODEL, "--check", "--verbosity", "0", *flags)
    assert got == code, err
    assert (out, len(err.splitlines())) == (("ok\n", 0) if code == 0 else ("", 1)), (out, err)


def test_an_unknown_command_shows_the_usage():
    for arguments in ([], ["sing"]):
        code, out, err = lockstep(*arguments)
        assert code == 2 and out == "" and "usage: lockstep COMMAND" in err


def test_a_refused_request_is_one_line_and_exit_code_one(tiny):
    code, out, err = lockstep("complete", "--connect", tiny.zmq, "--prompt", "x", "--temperature",
                              "-1")
    assert code == 1 and "temperature" in err and len(err.splitlines()) == 1
