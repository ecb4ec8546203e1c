"""The coordinator's prefix index against what real nodes have cached: under load, under eviction,
after kill -9 of a node, and at a coordinator that starts late."""

import concurrent.futures
import random
import signal
import threading

import pytest

from processes import BIN, TINY, Cluster, Process, answers, free_port, metric, request, wait_for

N_BLOCKS = 64  # of each node; a prompt takes up to 8
MODEL = TINY / "tiny-9-f32.gguf"


def cluster_page(admin):
    status, page = request(admin, "GET", "/v1/cluster")
    assert status == 200, page
    return page


class EventCluster(Cluster):
    """Two nodes that publish KV events."""

    def __init__(self):
        super().__init__(MODEL, nodes=2, events=True, node_flags=(
            "--max-model-len", "256", "--num-kv-blocks", str(N_BLOCKS)))

    def start_coordinator(self, http, admin):
        links = [flag for endpoint in self.endpoints for flag in ("--node", endpoint)]
        return Process(BIN / "lockstep-coordinator", "--http", f"127.0.0.1:{http}", "--admin",
                       f"127.0.0.1:{admin}", "--zmq", f"tcp://127.0.0.1:{free_port()}",
                       "--seed", "1", *links)


@pytest.fixture(scope="module")
def c():
    c = EventCluster()
    try:
        yield c.wait_ready()
    finally:
        c.stop()


def ask(c, prompt):
    status, answer = request(c.http, "POST", "/v1/completions",
                             dict(model="m", prompt=prompt, max_tokens=8, ignore_eos=True))
    assert status == 200, answer


def load(c, n, seed):
    """Prompts that share beginnings and little else."""
    rng = random.Random(seed)
    beginnings = [[rng.randrange(1, 90) for _ in range(48)] for _ in range(3)]
    prompts = [rng.choice(beginnings)[:16 * rng.randint(0, 3)] +
               [rng.randrange(1, 90) for _ in range(rng.randint(20, 70))] for _ in range(n)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda prompt: ask(c, prompt), prompts))


def n_cached(admin):
    """Published blocks are those that the node's index has; an idle node has no others in use."""
    assert metric(admin, "lockstep_kv_blocks", tier="device", state="active") == 0
    return metric(admin, "lockstep_kv_blocks", tier="device", state="cached")


def index_of(admin):
    """[(blocks, lag, state)] of the nodes"""
    return [(node["index"]["blocks"], node["index"]["lag_batches"], node["index"]["state"])
            for node in cluster_page(admin)["nodes"]]


def wait_equal(c, admin=None):
    """Waits until the coordinator's index has what the idle nodes have, and returns the numbers."""
    admin = admin or c.admin
    cached = [n_cached(node) for node in c.node_admins]
    expected = [(n, 0, "following") for n in cached]
    try:
        wait_for(lambda: index_of(admin) == expected, 30, f"an index of {expected}")
    except AssertionError as e:
        raise AssertionError(f"{e}; it is {cluster_page(admin)}") from e
    for endpoint, n in zip(c.endpoints, cached):
        wait_for(lambda: metric(admin, "lockstep_index_blocks", node=endpoint) == n, 10, "a metric")
        assert metric(admin, "lockstep_index_lag_batches", node=endpoint) == 0
    return cached


def resyncs(admin, cause):
    return [node["index"]["resyncs"][cause] for node in cluster_page(admin)["nodes"]]


def test_the_index_has_the_blocks_of_both_nodes(c):
    assert wait_equal(c) == [0, 0]
    load(c, 8, seed=1)
    assert min(wait_equal(c)) > 0
    assert resyncs(c.admin, "start") == [1, 1]
    page = cluster_page(c.admin)
    assert [node["endpoint"] for node in page["nodes"]] == c.endpoints
    assert {node["state"] for node in page["nodes"]} == {"ready"}
    assert len({node["fingerprint"] for node in page["nodes"]}) == 1
    assert len({node["epoch"] for node in page["nodes"]}) == 2
    assert page["nodes"][0]["models"] == ["m"]
    # The page has the number of the last tick or heartbeat.
    wait_for(lambda: cluster_page(c.admin)["requests_running"] == 0, what="no request on the page")


def test_it_follows_evictions(c):
    load(c, 160, seed=2)
    assert all(n > N_BLOCKS / 2 for n in wait_equal(c))
    for admin in c.node_admins:
        assert metric(admin, "lockstep_kv_events_total", type="removed") > 50
    for cause in ("digest", "unknown_block", "over_capacity", "malformed", "epoch"):
        assert resyncs(c.admin, cause) == [0, 0], cause


def test_a_node_that_was_killed_begins_anew(c):
    before = cluster_page(c.admin)["nodes"]
    c.nodes[0].child.send_signal(signal.SIGKILL)
    c.nodes[0].child.wait()
    wait_for(lambda: index_of(c.admin)[0] == (0, 0, "off"), 30, "the node to be forgotten")
    c.restart_node(0)
    c.wait_ready()
    assert wait_equal(c)[0] == 0
    after = cluster_page(c.admin)["nodes"]
    assert after[0]["epoch"] != before[0]["epoch"] and after[1]["epoch"] == before[1]["epoch"]
    load(c, 12, seed=3)
    assert min(wait_equal(c)) > 0
    assert resyncs(c.admin, "start")[0] == 2


def test_a_coordinator_that_starts_late_loads_what_is_there(c):
    http, admin = free_port(), free_port()
    stopping = threading.Event()

    def go_on():  # its snapshots are taken while blocks come and go
        seed = 100
        while not stopping.is_set():
            load(c, 4, seed)
            seed += 1

    traffic = threading.Thread(target=go_on)
    traffic.start()
    late = c.start_coordinator(http, admin)
    try:
        wait_for(lambda: answers(admin) and all(
            state == "following" for _, _, state in index_of(admin)), 30, "two snapshots")
        stopping.set()
        traffic.join()
        wait_equal(c, admin)
        assert wait_equal(c) == wait_equal(c, admin)
    finally:
        stopping.set()
        traffic.join()
        late.stop()


def test_nodes_without_events_are_not_in_the_index():
    c = Cluster(MODEL, node_flags=("--max-model-len", "256"))
    try:
        c.wait_ready()
        ask(c, [1] * 64)
        assert index_of(c.admin) == [(0, 0, "off")]
        assert not any(cluster_page(c.admin)["nodes"][0]["index"]["resyncs"].values())
    finally:
        c.stop()
