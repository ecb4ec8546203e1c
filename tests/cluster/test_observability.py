"""The shipped Prometheus configuration, alerts and Grafana board against a real Prometheus, which
reads a real coordinator and node under load. The last test kills the node. What only nodes on GPUs
have is in test_gpu_observability.py.
"""

import json
import re
import shutil
import subprocess
import threading
import types

import grafana_board
import numpy as np
import pytest
from gguf import GGUFReader
from processes import TINY, cluster, metric, request, wait_for
from prometheus_server import SHIPPED, Prometheus

N_BLOCKS = 64
# Prompt and output fill 16 blocks of 16 tokens: four clients take the pool, the others wait.
N_CLIENTS, N_PROMPT, N_OUTPUT = 7, 56, 200
POISON = 77  # the token that the model has no finite logits for
METRICS_PAGE = SHIPPED.parents[1] / "docs" / "metrics.md"
ALERTS = {"LockstepDecodeFailures", "LockstepDeviceErrors", "LockstepFingerprintsDiffer",
          "LockstepIndexLag", "LockstepKvPressure", "LockstepNodeGone", "LockstepNodeStalled",
          "LockstepResumeMismatch"}


def poisoned_model(path):
    """tiny-9 in F32, but what follows POISON has no finite logits: dimension 0 is POISON's alone, and
    the last norm has the largest float there. Every weight is finite, or it would not be loaded."""
    shutil.copy(TINY / "tiny-9-f32.gguf", path)
    for tensor in GGUFReader(path, "r+").tensors:
        if tensor.name == "token_embd.weight":
            tensor.data[:, 0] = 0
            tensor.data[POISON] = 0
            tensor.data[POISON, 0] = 1e6
        elif tensor.name.endswith(("attn_output.weight", "ffn_down.weight")):
            tensor.data[0] = 0  # nothing else is written there
        elif tensor.name == "output_norm.weight":
            tensor.data[0] = np.finfo(np.float32).max
    return path


class Load:
    """Clients that ask again after each answer, until stop(); one client sends POISON. `statuses`
    holds the status of each answer, None for a broken connection; `errors` the bodies of answers
    other than 200."""

    def __init__(self, c):
        self.c = c
        self.stopping = threading.Event()
        self.statuses = []
        self.errors = []
        self.threads = [threading.Thread(target=self.ask_for_ever, args=(i,))
                        for i in range(N_CLIENTS)]
        self.threads.append(threading.Thread(target=self.fail_for_ever))
        for thread in self.threads:
            thread.start()

    def ask(self, prompt, **extra):
        body = dict(model="m", prompt=prompt, max_tokens=N_OUTPUT, ignore_eos=True, **extra)
        try:
            status, answer = request(self.c.http, "POST", "/v1/completions", body)
        except OSError:
            self.statuses.append(None)
            return
        self.statuses.append(status)
        if status != 200:
            self.errors.append(answer["error"]["message"])

    def ask_for_ever(self, i):
        while not self.stopping.is_set():
            self.ask([1 + i] * N_PROMPT)

    def fail_for_ever(self):
        while not self.stopping.wait(0.2):
            self.ask([5, POISON])

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A cluster under load that Prometheus has read for a while: .c, .load, .prometheus"""
    folder = tmp_path_factory.mktemp("watched")
    flags = ["--max-model-len", "512", "--num-kv-blocks", str(N_BLOCKS)]
    with cluster(poisoned_model(folder / "poisoned.gguf"), node_flags=flags) as c:
        targets = {"lockstep-node": {"lockstep-node-0": c.node_admins[0]},
                   "lockstep-coordinator": {"10-1-2-3": c.admin}}
        with Prometheus(folder, targets) as prometheus:
            wait_for(prometheus.is_up, 60, "both targets up")
            load = Load(c)
            try:
                yield types.SimpleNamespace(c=c, load=load, prometheus=prometheus)
            finally:
                load.stop()


def test_both_jobs_are_read_with_namespace_and_pod(watched):
    found = [labels for labels, _ in watched.prometheus.query("up")]
    for labels in ({"job": "lockstep-node", "instance": "lockstep-node-0"},
                   {"job": "lockstep-coordinator", "instance": "10-1-2-3"}):
        assert dict(labels, namespace="lockstep", __name__="up") in found
    assert len(found) == 2
    wait_for(watched.prometheus.is_up, 60, "both targets up under load")


def board_of_cpus():
    return grafana_board.without_row(grafana_board.load(), "GPUs")


def test_every_panel_shows_something_under_load(watched):
    board = board_of_cpus()
    found = []

    def nothing_is_missing():
        found[:] = grafana_board.problems(board, watched.prometheus)
        return not found
    try:
        wait_for(nothing_is_missing, 60)
    except AssertionError:
        raise AssertionError("\n".join(found)) from None


def test_a_typo_anywhere_in_the_board_is_noticed(watched):
    board = board_of_cpus()
    values = grafana_board.all_selected(board, watched.prometheus, "5s")
    unnoticed = []
    targets = [t for panel in grafana_board.panels(board) for t in panel.get("targets", [])]
    assert len(targets) > 20
    for target in targets:
        for name in grafana_board.metric_names(target["expr"]):
            wrong = dict(target, expr=target["expr"].replace(name, name[:-1]))
            if grafana_board.problem(watched.prometheus, values, wrong)[0] != "no series":
                unnoticed.append(wrong["expr"])
    assert unnoticed == []


@pytest.mark.parametrize("old, new, complaint", [
    ("$instance", "$node", "unknown variables"),
    ("{{state}}", "{{stat}}", "the series lack what the legend"),
    ('"options": "reserved"', '"options": "promisd"', "no series is called promisd"),
    ('state=~\\"free|cached\\"', 'state=~\\"fre\\"', "no series"),
    ("label_values(lockstep_model_info{", "label_values(lockstep_model{", "has no values")])
def test_other_mistakes_in_the_board_are_noticed(watched, old, new, complaint):
    text = json.dumps(board_of_cpus())
    assert old in text
    wrong = json.loads(text.replace(old, new))
    try:
        found = "\n".join(grafana_board.problems(wrong, watched.prometheus))
    except AssertionError as error:
        found = str(error)
    assert complaint in found


def test_what_an_operator_looks_for_is_there_with_its_value(watched):
    """The load makes some counters grow that are 0 in a healthy cluster."""
    prometheus = watched.prometheus

    def value(expression):
        samples = prometheus.query(expression)
        assert len(samples) == 1, (expression, samples)
        return samples[0][1]

    assert value("sum(lockstep_kv_blocks)") == N_BLOCKS
    wait_for(lambda: value("max_over_time(lockstep_sequences_waiting[10s])") > 0, 60, "a queue")
    wait_for(lambda: value("sum(max_over_time(lockstep_kv_blocks{state='reserved'}[10s]))") > 0,
             60, "reserved blocks")
    wait_for(lambda: value("rate(lockstep_generation_tokens_total[5s])") > 0, 60, "tokens")
    for metric in ('lockstep_decode_failures_total{cause="nonfinite",outcome="failed"}',
                   'lockstep_coordinator_requests_total{outcome="decode_failed"}'):
        wait_for(lambda: value(f"increase({metric}[10m])") > 0, 60, metric)
    for outcome in ("retried", "failed"):
        assert value(f'lockstep_decode_failures_total{{cause="compute",outcome="{outcome}"}}') == 0
    assert value('lockstep_coordinator_requests_lost_total') == 0
    cached = value('lockstep_prompt_tokens_total{source="cached"}')
    assert 0 <= cached < value('lockstep_prompt_tokens_total{source="computed"}') + cached
    assert 0 < value('lockstep_prefix_cache_lookup_tokens_total')
    assert 500 in watched.load.statuses and 200 in watched.load.statuses
    assert set(watched.load.statuses) == {200, 500}


def page(port):
    status, text = request(port, "GET", "/metrics")
    assert status == 200
    return text


def table(text):
    """What a metrics page offers as the table of docs/metrics.md."""
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.M))
    rows = ["| metric | type | labels | |", "|---|---|---|---|"]
    for name, what in sorted(re.findall(r"^# HELP (\w+) (.*)$", text, re.M)):
        suffix = "_count" if kinds[name] == "histogram" else ""
        labels = re.search(rf"^{name}{suffix}(?:\{{(.*)\}})? ", text, re.M)[1] or ""
        labels = ", ".join(f"`{label}`" for label in re.findall(r'(\w+)="', labels))
        rows.append(f"| `{name}` | {kinds[name]} | {labels} | {what} |")
    return "\n".join(rows) + "\n"


def check_metrics(text):
    return subprocess.run(["promtool", "check", "metrics"], input=text, text=True,
                          capture_output=True)


@pytest.mark.parametrize("who", ["node", "coordinator"])
def test_promtool_finds_no_fault_with_the_pages(watched, who):
    text = page(watched.c.admin if who == "coordinator" else watched.c.node_admins[0])
    good = check_metrics(text)
    assert (good.returncode, good.stderr) == (0, ""), good.stderr
    assert check_metrics(text.replace("_requests_total", "_requests_count")).returncode != 0


@pytest.mark.parametrize("who", ["node", "coordinator"])
def test_the_documentation_lists_what_the_pages_hold(watched, who):
    wait_for(lambda: 200 in watched.load.statuses, 60, "an answer, for it is counted")
    expected = table(page(watched.c.admin if who == "coordinator" else watched.c.node_admins[0]))
    section = METRICS_PAGE.read_text().split(f"## {who.capitalize()}\n")[1].split("\n## ")[0]
    assert expected.count("\n") > 10
    assert expected in section, f"the table of {METRICS_PAGE.name} has to be\n{expected}"


def test_rules_and_board_name_exported_metrics_only(watched):
    text = page(watched.c.admin) + page(watched.c.node_admins[0])
    exported = {line.split("{")[0].split(" ")[0] for line in text.splitlines()
                if not line.startswith("#")}
    used = grafana_board.metric_names((SHIPPED / "alerts.yml").read_text())
    used += grafana_board.metric_names(json.dumps(board_of_cpus()))
    used = [name for name in used if not name.startswith("lockstep_device_")]  # of GPUs
    assert len(set(used)) > 15
    assert [name for name in used if name not in exported] == []


def test_the_alerts_are_loaded_and_those_of_this_load_fire(watched):
    prometheus = watched.prometheus
    rules = prometheus.rules()
    assert {rule["name"] for rule in rules} == ALERTS
    wait_for(lambda: all(rule["health"] == "ok" for rule in prometheus.rules()), 60, "evaluation")
    node = {"job": "lockstep-node", "namespace": "lockstep", "instance": "lockstep-node-0"}
    wait_for(lambda: prometheus.alerts("LockstepDecodeFailures", cause="nonfinite", **node),
             60, "the alert that names the cause")
    wait_for(lambda: prometheus.alerts("LockstepKvPressure", severity="warning", **node), 60,
             "the alert of a pool that is spoken for")
    wait_for(lambda: not prometheus.alerts("LockstepNodeGone"), 60, "no node is gone")
    assert prometheus.alerts("LockstepDecodeFailures", cause="node_lost") == []
    annotation = grafana_board.load()["annotations"]["list"][0]
    shown = prometheus.query(grafana_board.fill_in(annotation["expr"], {"namespace": ".*"}))
    of_this_load = {"LockstepDecodeFailures", "LockstepKvPressure"}
    assert {labels["alertname"] for labels, _ in shown} >= of_this_load


def kill_under_load(node, load):
    """How many clients got the error that their node was lost. No client asks again after the node
    died, and a client has one request at a time."""
    node.child.kill()
    node.child.wait()
    load.stop()
    return sum("node that ran this request was lost" in error for error in load.errors)


def test_a_killed_node_is_noticed_with_the_requests_that_it_took_along(watched):
    prometheus = watched.prometheus
    wait_for(lambda: metric(watched.c.admin, "lockstep_coordinator_requests_running") >= N_CLIENTS,
             60, "every client waits for an answer")
    n_lost = kill_under_load(watched.c.nodes[0], watched.load)
    assert 0 < n_lost <= len(watched.load.threads)
    assert metric(watched.c.admin, "lockstep_coordinator_requests_lost_total") == n_lost
    wait_for(lambda: prometheus.query("lockstep_coordinator_requests_lost_total")[0][1] == n_lost,
             60, "the counter in Prometheus")
    who = {"job": "lockstep-coordinator", "namespace": "lockstep", "instance": "10-1-2-3"}
    wait_for(lambda: prometheus.alerts("LockstepDecodeFailures", cause="node_lost", **who), 60,
             "the alert of what was lost with the node")
    assert prometheus.alerts("LockstepDecodeFailures", cause="nonfinite"), \
        "what the node counted itself is not over because it died"
    for seen_by, job in (("prometheus", "lockstep-node"), ("coordinator", "lockstep-coordinator")):
        wait_for(lambda: prometheus.alerts("LockstepNodeGone", seen_by=seen_by, job=job),
                 60, f"the alert of {seen_by}")
    assert prometheus.query('up{job="lockstep-coordinator"}')[0][1] == 1
