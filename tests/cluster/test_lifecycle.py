"""Starting, refusing to start, draining."""

import os
import pathlib
import socket
import subprocess
import threading

from processes import BIN, TINY, Cluster, Process, cluster, free_port, request, wait_for

MODEL = TINY / "tiny-9-f32.gguf"


def run(*command, timeout=60):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True,
                          timeout=timeout, stdin=subprocess.DEVNULL)
    return done.returncode, done.stderr.strip()


def one_line(stderr):
    assert len(stderr.splitlines()) == 1, stderr
    return stderr


def test_a_model_that_does_not_load_is_one_line_and_exit_code_two(tmp_path):
    code, err = run(BIN / "lockstep-node", tmp_path / "missing.gguf")
    assert code == 2 and "missing.gguf" in one_line(err)
    cut = tmp_path / "cut.gguf"
    data = MODEL.read_bytes()
    cut.write_bytes(data[: len(data) - 1000])
    code, err = run(BIN / "lockstep-node", cut)
    assert code == 2 and "offset" in one_line(err)


def test_settings_out_of_range_name_the_field_and_the_numbers():
    for flags, words in [(["--block-size", "12"], ["block_size", "12"]),
                         (["--max-model-len", "999999"], ["max_model_len", "999999"]),
                         (["--tensor-parallel-size", "4"], ["4", "3"]),
                         (["--kv-cache-dtype", "f8"], ["kv_cache_dtype", "f8"]),
                         (["--blok-size", "8"], ["--block-size"]),
                         (["--max-num-seqs", "64", "--max-num-batched-tokens", "8"], ["64", "8"])]:
        code, err = run(BIN / "lockstep-node", MODEL, *flags)
        assert code == 2 and all(w in one_line(err) for w in words), (flags, err)


def test_a_model_whose_file_name_is_no_text_is_refused_by_check_and_start(tmp_path):
    model = os.path.join(os.fsencode(tmp_path), b"m\xff.gguf")
    os.symlink(MODEL, model)
    for flags in ([], ["--check"]):
        code, err = run_bytes(BIN / "lockstep-node", model, *flags)
        assert code == 2 and "model:" in one_line(err) and "UTF-8" in err, (flags, err)
    for flags in (["--served-model-name", b"m\xff"], ["--tenants", b"{name: gold\xff}"]):
        code, err = run_bytes(BIN / "lockstep-node", MODEL, "--check", *flags)
        assert code == 2 and "UTF-8" in one_line(err), (flags, err)
    code, err = run_bytes(BIN / "lockstep-node", model, "--check", "--served-model-name", "m")
    assert code == 0, err


def run_bytes(*command):
    done = subprocess.run([os.fsencode(c) for c in command], capture_output=True, timeout=60,
                          stdin=subprocess.DEVNULL)
    return done.returncode, done.stderr.decode().strip()


def test_listening_beyond_loopback_needs_insecure():
    code, err = run(BIN / "lockstep-coordinator", "--http", "0.0.0.0:0", "--zmq",
                    "tcp://127.0.0.1:*", "--node", "tcp://127.0.0.1:1")
    assert code != 0 and "--insecure" in one_line(err)


def test_a_busy_port_is_one_clear_line():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        code, err = run(BIN / "lockstep-coordinator", "--http", f"127.0.0.1:{port}", "--zmq",
                        f"tcp://127.0.0.1:{free_port()}", "--node", "tcp://127.0.0.1:1")
        assert code != 0 and str(port) in err.splitlines()[-1]
        code, err = run(BIN / "lockstep-node", MODEL, "--listen", f"tcp://127.0.0.1:{port}")
        assert code != 0 and str(port) in err.splitlines()[-1]


def test_without_a_node_requests_get_503():
    http, admin = free_port(), free_port()
    coordinator = Process(BIN / "lockstep-coordinator", "--http", f"127.0.0.1:{http}", "--zmq",
                          f"tcp://127.0.0.1:{free_port()}", "--admin", f"127.0.0.1:{admin}",
                          "--node", f"tcp://127.0.0.1:{free_port()}")
    try:
        wait_for(lambda: probe(http), 30, "coordinator listens")
        status, answer = request(http, "POST", "/v1/completions", {"model": "m", "prompt": "x"})
        assert status == 503 and answer["error"]["code"] == "no_node_ready"
        assert request(admin, "GET", "/readyz")[0] == 503
        assert request(admin, "GET", "/livez")[0] == 200
    finally:
        assert coordinator.stop() == 0


def probe(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def test_sigterm_finishes_what_runs_and_exits_zero():
    c = Cluster(MODEL, node_flags=["--max-model-len", "1000"]).wait_ready()
    ask = {"model": "m", "prompt": [1, 2, 3], "max_tokens": 900, "ignore_eos": True}
    answers = []
    client = threading.Thread(
        target=lambda: answers.append(request(c.http, "POST", "/v1/completions", ask)))
    client.start()
    wait_for(lambda: c.blocks_in_use() > 0, 30, "request running")
    codes = c.stop()
    client.join()
    assert codes == [0, 0], c.coordinator.output() + c.nodes[0].output()
    status, answer = answers[0]
    assert status == 200 and answer["usage"]["completion_tokens"] == 900


def test_a_dead_node_ends_its_streams_and_the_other_serves():
    with cluster(MODEL, nodes=2) as c:
        c.nodes[0].child.kill()
        ok = 0
        for _ in range(20):
            status, answer = request(c.http, "POST", "/v1/completions",
                                     {"model": "m", "prompt": "x", "max_tokens": 2})
            assert status in (200, 500, 503) and ("choices" in answer or "error" in answer)
            ok += status == 200
        assert ok >= 10


def test_a_node_that_restarts_under_traffic_is_noticed():
    """The new process answers requests that were meant for the old one, so it is never silent."""
    with cluster(MODEL, node_flags=["--max-model-len", "256"]) as c:
        ask = {"model": "m", "prompt": [1, 2, 3], "max_tokens": 4, "temperature": 0,
               "ignore_eos": True, "return_token_ids": True}
        before = request(c.http, "POST", "/v1/completions", ask)[1]["choices"]
        c.nodes[0].child.kill()
        c.nodes[0].child.wait()
        c.restart_node(0)

        def answers_again():
            status, answer = request(c.http, "POST", "/v1/completions", ask)
            if status != 200:
                return False
            assert answer["choices"] == before, answer
            return True

        wait_for(answers_again, 60, "the node to be back")


def test_settings_files_in_configs_are_valid():
    configs = pathlib.Path(__file__).resolve().parents[2] / "configs"
    code, err = run(BIN / "lockstep-node", MODEL, "--config", configs / "node.yaml", "--check")
    assert code == 0, err
    code, err = run(BIN / "lockstep-coordinator", "--config", configs / "coordinator.yaml",
                    "--check")
    assert code == 0, err


def test_serve_runs_both_in_one_process():
    http, admin = free_port(), free_port()
    process = Process(BIN / "lockstep", "serve", MODEL, "--served-model-name", "m", "--http",
                      f"127.0.0.1:{http}", "--zmq", f"tcp://127.0.0.1:{free_port()}", "--admin",
                      f"127.0.0.1:{admin}", "--seed", "3")
    try:
        wait_for(lambda: probe(admin) and request(admin, "GET", "/readyz")[0] == 200, 60, "ready")
        status, answer = request(http, "POST", "/v1/completions",
                                 {"model": "m", "prompt": "x", "max_tokens": 3})
        assert status == 200 and answer["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    finally:
        assert process.stop() == 0


def test_a_loaded_node_needs_its_file_no_more(tmp_path):
    file = tmp_path / "model.gguf"
    file.write_bytes(MODEL.read_bytes())
    ask = dict(model="m", prompt="Once upon a time", max_tokens=8, temperature=0)
    with cluster(file) as c:
        before = request(c.http, "POST", "/v1/completions", ask)[1]["choices"]
        assert str(file) not in pathlib.Path(f"/proc/{c.nodes[0].child.pid}/maps").read_text()
        os.truncate(file, 0)
        assert request(c.http, "POST", "/v1/completions", ask)[1]["choices"] == before
