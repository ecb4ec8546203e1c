"""Sampling defaults of a model's file: the same over HTTP, ZeroMQ and in process, until a request
sets others or the node is configured to ignore them. A damaged file is refused in one line."""

import os
import struct
import subprocess
import sys

import pytest
from lockstep_client import Client
from processes import BIN, TINY, cluster, request

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "reference"))
import make_tiny_models  # noqa: E402

PROMPT = "Once upon a time"


def write_model(path, **sampling):
    """A tiny model whose file says general.sampling.*."""
    plain = make_tiny_models.add_tokenizer

    def add_both(writer, vocab_size):
        for name, value in sampling.items():
            add = writer.add_int32 if isinstance(value, int) else writer.add_float32
            add(f"general.sampling.{name}", value)
        plain(writer, vocab_size)

    spec = make_tiny_models.Spec("tiny-sampling", 1, 64, 4, 2, 16, 128)
    make_tiny_models.add_tokenizer = add_both
    try:
        make_tiny_models.write_gguf(path, spec, make_tiny_models.make_weights(spec), "F32")
    finally:
        make_tiny_models.add_tokenizer = plain
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model whose file recommends greedy decoding, and mirostat, which is not supported."""
    return write_model(tmp_path_factory.mktemp("model") / "m.gguf", temp=0.0, top_k=5, mirostat=2)


def lockstep(*arguments):
    done = subprocess.run([BIN / "lockstep", *map(str, arguments)], capture_output=True, text=True,
                          timeout=60)
    return done.returncode, done.stdout, done.stderr


def over_http(c, **fields):
    status, answer = request(c.http, "POST", "/v1/completions",
                             dict(model="m", prompt=PROMPT, max_tokens=24, **fields))
    assert status == 200, answer
    return answer["choices"][0]["text"]


def over_zmq(c, **fields):
    with Client(c.zmq) as client:
        return client.generate(model="m", prompt=PROMPT, max_tokens=24, **fields).text


def test_what_a_request_leaves_out_is_as_the_file_says(model):
    with cluster(model, nodes=2) as c:
        greedy = over_http(c, temperature=0)
        for seed in (1, 2, 3):
            assert over_http(c, seed=seed) == greedy
            assert over_zmq(c, seed=seed) == greedy
        assert over_http(c, seed=1, temperature=1.5, top_k=0) != greedy
        served = request(c.http, "GET", "/v1/models")[1]["data"][0]
        assert served["default_sampling_params"] == {"temperature": 0.0, "top_k": 5}
        assert "'general.sampling.mirostat'" in c.nodes[0].output()
        ask = ["--prompt", PROMPT, "--max-tokens", 24, "--seed", 4]
        printed = (0, greedy + "\n", "")
        assert lockstep("complete", "--connect", c.zmq, *ask) == printed
        assert lockstep("complete", model, *ask) == printed
        code, out, _ = lockstep("complete", model, *ask, "--temperature", 1.5, "--top-k", 0)
        assert code == 0 and out != printed[1]


def test_a_node_can_be_told_to_ignore_them(model):
    with cluster(model, node_flags=["--generation-config", "none"]) as c:
        assert over_http(c, seed=1) != over_http(c, temperature=0)
        served = request(c.http, "GET", "/v1/models")[1]["data"][0]
        assert served["default_sampling_params"] == {}


def test_the_fingerprint_tells_them_apart(model):
    def fingerprint(*flags):
        with cluster(model, node_flags=flags) as c, Client(c.zmq) as client:
            return client.status()["nodes"][0]["fingerprint"]
    plain = fingerprint("--generation-config", "none")
    assert len(plain) == 32
    assert fingerprint().startswith(plain + "-s")


def test_a_bad_recommendation_is_one_line_and_exit_code_two(tmp_path):
    bad = write_model(tmp_path / "bad.gguf", top_p=7.0)
    for command in ([BIN / "lockstep-node", bad], [BIN / "lockstep-node", bad, "--check"]):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
        assert "'general.sampling.top_p'" in done.stderr and "7" in done.stderr
    done = subprocess.run([BIN / "lockstep-node", bad, "--check", "--generation-config", "none"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("ranks", [1, 3])
def test_a_weight_that_is_nan_is_one_line_and_exit_code_two(tmp_path, ranks):
    data = bytearray((TINY / "tiny-9-f32.gguf").read_bytes())
    data[-4:] = struct.pack("<f", float("nan"))  # of the last tensor
    damaged = tmp_path / "nan.gguf"
    damaged.write_bytes(data)
    done = subprocess.run([BIN / "lockstep-node", damaged, "--tensor-parallel-size", str(ranks)],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
    assert "tensor output.weight at offset" in done.stderr and "nan" in done.stderr
