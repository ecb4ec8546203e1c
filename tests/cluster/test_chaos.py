"""Nodes and coordinators die, hang, drain, lose messages and connections under load; every client gets
the answer of an undisturbed run, each token once, and nothing is refused. LOCKSTEP_CHAOS_SECONDS,
_MODEL, _PAUSE and _SEED run it longer, on another model, with more time between deeds, and again."""

import contextlib
import http.client
import json
import os
import random
import signal
import threading
import time

from lockstep_client import ResumingClient
from lossy_proxy import LossyProxy
from processes import TINY, Cluster, Process, answers, free_port, metric, total, wait_for
from transcripts import CASES, LENGTH, ask, n_tokens

MODEL = os.environ.get("LOCKSTEP_CHAOS_MODEL", TINY / "tiny-9-f32.gguf")
SECONDS = float(os.environ.get("LOCKSTEP_CHAOS_SECONDS", 25))
SEED = int(os.environ.get("LOCKSTEP_CHAOS_SEED", 20261130))
PAUSE = float(os.environ.get("LOCKSTEP_CHAOS_PAUSE", 0))  # seconds, 8 outputs of each running request
CLIENTS = 6


class Threads:
    """CLIENTS threads that run `self._run(argument)` until stop()."""

    def __init__(self, arguments):
        self.failures, self.n_answers = [], 0
        self._stop, self._lock = False, threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(argument,)) for argument in arguments]

    def start(self):
        for thread in self._threads:
            thread.start()

    def stop(self):
        self._stop = True
        for thread in self._threads:
            thread.join()


class Clients(Threads):
    """Threads that send the cases again and again, and compare each answer with the first one."""

    def __init__(self, http, seed):
        super().__init__(random.Random(seed + i) for i in range(CLIENTS))
        self.http, self.n_tokens = http, 0
        self.wanted = [ask(http, path, body, False) for path, body in CASES]

    def _run(self, draw):
        while not self._stop:
            idx, streamed = draw.randrange(len(CASES)), draw.random() < 0.7
            path, body = CASES[idx]
            try:
                got = ask(self.http, path, body, streamed)
            except Exception as error:  # whatever it is, a client has noticed
                self.failures.append((idx, streamed, repr(error)[:400]))
                continue
            with self._lock:
                self.n_answers += 1
                self.n_tokens += n_tokens(got)
            if got != self.wanted[idx]:
                self.failures.append((idx, streamed, difference(got, self.wanted[idx])))


def difference(got, wanted):
    for choice, transcript in wanted.items():
        for key, value in transcript.items():
            mine = got.get(choice, {}).get(key)
            if mine != value:
                return f"choice {choice}, {key}: {str(mine)[-200:]} instead of {str(value)[-200:]}"
    return "other choices"


def kill(cluster, idx, proxy):
    cluster.nodes[idx].child.kill()
    cluster.nodes[idx].child.wait()
    cluster.restart_node(idx)


def drain(cluster, idx, proxy):
    begun = time.monotonic()
    assert cluster.nodes[idx].stop(timeout=30) == 0
    drain.longest = max(drain.longest, time.monotonic() - begun)
    cluster.restart_node(idx)


drain.longest = 0.0


def hang(cluster, idx, proxy):
    cluster.nodes[idx].child.send_signal(signal.SIGSTOP)
    time.sleep(3)  # longer than --node-dead-ms
    cluster.nodes[idx].child.send_signal(signal.SIGCONT)


def lose_a_message(cluster, idx, proxy):
    proxy.drop_one_batch()


def cut(cluster, idx, proxy):
    proxy.cut()


def delay(cluster, idx, proxy):
    proxy.delay(0.5)


def test_no_client_notices_what_happens_to_the_nodes():
    print("seed", SEED)
    draw, proxies = random.Random(SEED), []

    def link(port):
        proxies.append(LossyProxy(free_port(), port, SEED))
        return proxies[-1]._listener.getsockname()[1]

    cluster = Cluster(MODEL, nodes=3, node_flags=("--tensor-parallel-size", 2, "--num-kv-blocks", 400),
                      link=link)
    try:
        cluster.wait_ready()
        clients = Clients(cluster.http, SEED)
        clients.start()
        deeds, deadline = [], time.monotonic() + SECONDS
        kinds = [kill, drain, hang, lose_a_message, cut, delay]
        while time.monotonic() < deadline or len(deeds) < len(kinds):
            deed = kinds[len(deeds)] if len(deeds) < len(kinds) else draw.choice(kinds)
            idx = draw.randrange(3)
            deeds.append(deed.__name__)
            deed(cluster, idx, proxies[idx])
            # A poison prompt may take two nodes, so two deaths in quick succession would be taken
            # for one: the next deed waits until the last one's node serves again, and until each
            # request that the node lost has had outputs elsewhere.
            wait_for(lambda: metric(cluster.admin, "lockstep_coordinator_nodes", state="ready") == 3,
                     60, f"ready after {deeds[-1]}")
            time.sleep(PAUSE + draw.uniform(0.1, 0.5))
        clients.stop()
        print(f"{len(deeds)} deeds, {clients.n_answers} answers, {clients.n_tokens} tokens, "
              f"longest drain {drain.longest:.2f} s")
        assert not clients.failures, (len(clients.failures), clients.failures[:3])
        assert clients.n_answers > CLIENTS
        check_accounts(cluster, clients)
    finally:
        for node in cluster.nodes:
            node.child.send_signal(signal.SIGCONT)
        cluster.stop()
        for proxy in proxies:
            proxy.close()


def n_requests(admin):
    return sum(metric(admin, "lockstep_coordinator_requests", state=state)
               for state in ("queued", "placed", "running", "resuming"))


def check_accounts(cluster, clients):
    admin = cluster.admin
    assert n_requests(admin) == 0
    wait_for(lambda: cluster.blocks_in_use() == 0, what="no block is leaked")
    resumed = {cause: metric(admin, "lockstep_stream_resumes_total", cause=cause, outcome="resumed")
               for cause in ("lost", "drain", "gap", "stall")}
    print("resumed", resumed, "mean",
          total(admin, "lockstep_resume_seconds_sum") / total(admin, "lockstep_resume_seconds_count"),
          "s; false suspicions", total(admin, "lockstep_coordinator_false_suspicions_total"))
    assert resumed["lost"] > 0 and resumed["drain"] > 0
    for cause in resumed:
        assert metric(admin, "lockstep_stream_resumes_total", cause=cause, outcome="failed") == 0
    assert total(admin, "lockstep_coordinator_requests_lost_total") == 0
    # The undisturbed runs are in the ledger, too.
    delivered = clients.n_tokens + sum(n_tokens(answer) for answer in clients.wanted)
    assert total(admin, "lockstep_coordinator_generation_tokens_total") == delivered


class ResumingClients(Threads):
    """Threads that send requests again and again to two coordinators, by clients that go on at the
    other one, and compare each answer with the first one."""

    CASES = [dict(prompt="Once upon a time", temperature=0.0),
             dict(prompt="The sea", temperature=1.0, seed=11, n=3, logprobs=1),
             dict(prompt="Stop", temperature=1.0, seed=8, stop=["ab", " e"], min_tokens=60)]

    def __init__(self, endpoints):
        super().__init__(range(CLIENTS))
        self.endpoints, self.n_resumed = endpoints, 0
        with ResumingClient(endpoints) as client:
            self.wanted = [self._ask(client, case) for case in self.CASES]

    @staticmethod
    def _ask(client, case):
        got = client.generate(model="m", max_tokens=3 * LENGTH, ignore_eos=True, timeout=60, **case)
        return got.texts, got.ids, got.finish_reasons, got.usage["completion_tokens"]

    def _run(self, idx):
        with ResumingClient(self.endpoints, tries=20) as client:
            while not self._stop:
                case = idx % len(self.CASES)
                try:
                    got = self._ask(client, self.CASES[case])
                except Exception as error:  # whatever it is, a client has noticed
                    self.failures.append((case, repr(error)[:400]))
                    continue
                if got != self.wanted[case]:
                    self.failures.append((case, "another answer"))
                with self._lock:
                    self.n_answers += 1
            with self._lock:
                self.n_resumed += client.n_resumed


class LeavingClients(Threads):
    """Threads that read the beginning of a stream, one of them slowly, and close the connection."""

    def __init__(self, port):
        super().__init__(range(3))
        self.port = port

    def _run(self, idx):
        draw = random.Random(SEED + idx)
        while not self._stop:
            with contextlib.suppress(OSError, http.client.HTTPException):  # no coordinator now
                self._leave(draw.randrange(60), 0.05 if idx == 0 else 0)
            time.sleep(0.02)

    def _leave(self, n_lines, pause):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            body = dict(model="m", prompt="I will leave", n=2, max_tokens=LENGTH, stream=True)
            connection.request("POST", "/v1/completions", json.dumps(body),
                               {"Content-Type": "application/json"})
            response = connection.getresponse()
            if response.status not in (200, 503):  # 503: the coordinator stops
                self.failures.append(response.read())
            for _ in range(n_lines):
                response.readline()
                time.sleep(pause)
        with self._lock:
            self.n_answers += 1


def other_coordinator(cluster):
    """The command of a second coordinator of the same nodes, with its ZeroMQ endpoint and admin port."""
    zmq, admin = f"tcp://127.0.0.1:{free_port()}", free_port()
    changed = {"--http": f"127.0.0.1:{free_port()}", "--zmq": zmq, "--admin": f"127.0.0.1:{admin}"}
    command = list(cluster.coordinator_command)
    for flag, value in changed.items():
        command[command.index(flag) + 1] = value
    return command, zmq, admin


def test_a_rolling_restart_of_everything_and_a_killed_coordinator_are_not_noticed(tmp_path):
    (tmp_path / "key").write_text("k" * 32)
    # In one step of each node, and of each that takes its place, a rank throws.
    node_flags = ("--num-kv-blocks", 400, "--fault=rank-throws=100")
    cluster = Cluster(MODEL, nodes=3, node_flags=node_flags, coordinator_flags=(
        "--seed", "1", "--resume-key-file", tmp_path / "key", "--drain-timeout-ms", 500))
    command, zmq, admin = other_coordinator(cluster)
    other = Process(*command)
    try:
        cluster.wait_ready()
        wait_for(lambda: answers(admin), 60, "the second coordinator")
        clients = ResumingClients([cluster.zmq, zmq])
        clients.start()
        leaving = LeavingClients(cluster.http)
        leaving.start()

        def ready(of):
            wait_for(lambda: answers(of) and metric(of, "lockstep_coordinator_nodes",
                                                    state="ready") == 3, 60, "ready")
        wait_for(lambda: clients.n_answers >= CLIENTS, 60, "streams under way")
        cluster.coordinator.child.kill()
        time.sleep(0.5)
        cluster.restart_coordinator()
        ready(cluster.admin)
        begun = time.monotonic()
        assert other.stop() == 0
        assert time.monotonic() - begun < 50  # 5 s are aimed at
        gone = time.monotonic() - begun
        other = Process(*command)
        ready(admin)
        for idx in range(3):
            drain(cluster, idx, None)
            ready(cluster.admin)
            ready(admin)
        assert cluster.coordinator.stop() == 0
        cluster.restart_coordinator()
        ready(cluster.admin)
        clients.stop()
        leaving.stop()
        print(f"{clients.n_answers} answers, {clients.n_resumed} resumed by clients, "
              f"{leaving.n_answers} left early; a coordinator was gone after {gone:.2f} s, "
              f"a node after at most {drain.longest:.2f} s")
        assert not clients.failures, (len(clients.failures), clients.failures[:3])
        assert not leaving.failures, (len(leaving.failures), leaving.failures[:3])
        assert clients.n_resumed > 0 and leaving.n_answers > 0
        assert sum(metric(node, "lockstep_decode_failures_total", cause="compute", outcome="retried")
                   for node in cluster.node_admins) > 0
        wait_for(lambda: n_requests(cluster.admin) == n_requests(admin) == 0, what="requests end")
        wait_for(lambda: cluster.blocks_in_use() == 0, what="no block is leaked")
    finally:
        other.stop()
        cluster.stop()
