"""A process that is stopped for a while and continued is not taken for one that hangs."""

import concurrent.futures
import signal
import threading
import time

from processes import TINY, cluster, request, serve, stream

MODEL = TINY / "tiny-9-q8_0.gguf"
FLAGS = ("--num-kv-blocks=256", "--max-num-seqs=4")
N_STREAMS, N_TOKENS = 8, 900  # four wait
STOPPED_SECONDS = 15  # longer than every timeout of the cluster


def body(n):
    return dict(model="m", prompt=[n + 1, *range(20 + n)], max_tokens=N_TOKENS, temperature=0,
                ignore_eos=True, return_token_ids=True)


def read(port, n, begun):
    """The ids of one stream; `begun` is set once it has some."""
    ids = []
    for event in stream(port, "/v1/completions", body(n)):
        for choice in event["choices"]:
            ids += choice.get("token_ids") or []
        if len(ids) >= 20:
            begun.set()
    assert len(ids) == N_TOKENS
    return ids


def test_a_server_that_is_stopped_for_15_seconds_under_load_goes_on_with_every_stream():
    with serve(MODEL, *FLAGS) as server:
        quiet = [request(server.http, "POST", "/v1/completions", body(n))[1]["choices"][0]["token_ids"]
                 for n in range(N_STREAMS)]
        begun = threading.Event()
        with concurrent.futures.ThreadPoolExecutor(N_STREAMS) as pool:
            streams = [pool.submit(read, server.http, n, begun) for n in range(N_STREAMS)]
            assert begun.wait(60)
            server.process.child.send_signal(signal.SIGSTOP)
            assert not all(s.done() for s in streams)
            time.sleep(STOPPED_SECONDS)
            server.process.child.send_signal(signal.SIGCONT)
            assert [s.result(120) for s in streams] == quiet
        assert server.process.child.poll() is None, server.process.output()
        assert server.process.stop() == 0
        assert "hangs" not in server.process.output()


# The coordinator has removed the stopped node by then, and adds it again.
def test_a_node_that_is_stopped_for_15_seconds_under_load_does_not_exit_and_serves_again():
    with cluster(MODEL, node_flags=FLAGS) as c:
        node = c.nodes[0].child
        expected = request(c.http, "POST", "/v1/completions", body(0))
        assert expected[0] == 200
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            cut = pool.submit(request, c.http, "POST", "/v1/completions", body(1))
            time.sleep(0.1)
            node.send_signal(signal.SIGSTOP)
            time.sleep(STOPPED_SECONDS)
            node.send_signal(signal.SIGCONT)
            cut.result(60)
        c.wait_ready()
        assert request(c.http, "POST", "/v1/completions", body(0))[1]["choices"] == expected[1]["choices"]
        assert node.poll() is None, c.nodes[0].output()
