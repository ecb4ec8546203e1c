"""deploy/prometheus: promtool accepts configuration and rules, the cases in alerts_test.yml pass,
and each way to break a rule turns some of them red."""

import json
import pathlib
import shutil
import subprocess

import pytest
import yaml
from manifests import Base, component

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"

CRITICAL = "labels:\n          severity: critical\n          "
COUNTED = '(increase(lockstep_decode_failures_total{outcome="failed"}[10m])) > 0\n        labels'
UNCORRECTED = 'max_over_time(lockstep_device_errors_total{kind="ecc_uncorrected"}[10m])'
LAG = "lockstep_index_lag_batches > 0\n        for: 5m"
RESYNCS = ('sum by (namespace, job, instance, node) '
           '(increase(lockstep_index_resyncs_total{cause!="start"}[10m])) > 5')
STALLED = 'lockstep_coordinator_nodes{state="stalled"} > 0\n        for: 1m'
MISMATCH = "increase(lockstep_resume_mismatches_total[10m]) > 0"
LOST = "(increase(lockstep_coordinator_requests_lost_total[10m])) > 0"

# What the cases must notice in alerts.yml: {alert: {mutation: (text, what it becomes)}}.
MUTATIONS = {
    "LockstepDecodeFailures": {
        "a misspelt counter": (COUNTED, COUNTED.replace("failures_total", "failure_total")),
        "the cause is summed away": ("by (namespace, job, instance, cause)",
                                     "by (namespace, job, instance)"),
        "all failures since the start": (COUNTED, COUNTED.replace("(increase", "")
                                         .replace("[10m])", "")),
        "a restart counts as failures": (COUNTED, COUNTED.replace("(increase", "(abs(delta")
                                         .replace("[10m])", "[10m]))")),
        "a step that was retried failed a request": (COUNTED, COUNTED.replace(
            '{outcome="failed"}', "")),
        "forgotten too soon": (COUNTED, COUNTED.replace("10m", "1m")),
        "a misspelt counter of lost requests": (LOST, LOST.replace("lost_total", "loss_total")),
        "whatever fails is a lost node": (LOST, LOST.replace(
            "requests_lost_total", 'requests_total{outcome="decode_failed"}')),
        "all lost since the start": (LOST, LOST.replace("(increase", "").replace("[10m])", "")),
        "a restart counts as lost": (LOST, LOST.replace("(increase", "(abs(delta")
                                     .replace("[10m])", "[10m]))")),
        "lost requests are forgotten too soon": (LOST, LOST.replace("10m", "1m")),
        "a counted cause hides a lost node": (LOST, LOST + " unless on (namespace) sum by "
                                              "(namespace) " + COUNTED.partition("\n")[0]),
        "a lost node is said late": (LOST, LOST + "\n        for: 1m"),
        "which coordinator is summed away": ("by (namespace, job, instance) ", "by (namespace) "),
        "a lost node has another cause": ("cause: node_lost", "cause: compute"),
        "less severe": ("severity: critical", "severity: warning"),
        "a lost node is less severe": (CRITICAL + "cause",
                                       CRITICAL.replace("critical", "warning") + "cause"),
        "no number in the text": ('About {{ printf "%.0f" $value }} request(s) in', "Requests in"),
        "no number of what was lost": ('About {{ printf "%.0f" $value }} request(s) of',
                                       "Requests of"),
    },
    "LockstepKvPressure": {
        "a misspelt gauge": ("lockstep_sequences_waiting[2m]", "lockstep_sequence_waiting[2m]"),
        "cached blocks count as taken": ('state=~"free|cached"}', 'state="free"}'),
        "reserved blocks count as free": ('state=~"free|cached"}', 'state!="active"}'),
        "from half a pool on": ("> 0.8", "> 0.5"),
        "only in a pool that is full": ("> 0.8", "> 0.99"),
        "without a waiting sequence": ("[2m]) >= 1", "[2m]) >= 0"),
        "a queue alone": ("> 0.8\n          and", "> -1\n          and"),
        "one quiet sample ends it": ("avg_over_time(lockstep_sequences_waiting[2m])",
                                     "lockstep_sequences_waiting"),
        "a short blip": ("for: 5m", "for: 1m"),
        "it takes too long": ("for: 5m", "for: 15m"),
        "the queue's length is not said": ("{{ . | first | value }}", "{{ . | len }}"),
    },
    "LockstepNodeGone": {
        "a misspelt gauge": ("lockstep_coordinator_nodes", "lockstep_coordinator_node"),
        "one lost scrape is a node": ("for: 1m\n        " + CRITICAL + "seen_by",
                                      "for: 0m\n        " + CRITICAL + "seen_by"),
        "missed late": ("for: 1m\n        " + CRITICAL + "seen_by",
                        "for: 5m\n        " + CRITICAL + "seen_by"),
        "a coordinator is a node": ('up{job="lockstep-node"} == 0', "up == 0"),
        "no node in DNS is fine": (' or absent(up{job="lockstep-node"})', ""),
        "draining is gone": ("|suspect|dead", "|suspect|dead|draining"),
        "dead is not gone": ("|suspect|dead", "|suspect"),
        "suspect is not gone": ("|suspect|dead", "|dead"),
        "connecting is not gone": ("connecting|stalled", "stalled"),
        "stalled is not gone": ("|stalled|", "|"),
        "each state waits for itself": ("sum without (state) (lockstep_coordinator_nodes",
                                        "(lockstep_coordinator_nodes"),
        "a node that loads is gone": ("for: 3m", "for: 1m"),
    },
    "LockstepNodeStalled": {
        "a misspelt gauge": (STALLED, STALLED.replace("nodes", "node")),
        "a misspelt state": (STALLED, STALLED.replace('"stalled"', '"stall"')),
        "whatever is not ready is stalled": (STALLED, STALLED.replace('="stalled"', '!="ready"')),
        "no stalled node is one": (STALLED, STALLED.replace("> 0", ">= 0")),
        "a pause is a stall": (STALLED, STALLED.replace("for: 1m", "for: 0m")),
        "said late": (STALLED, STALLED.replace("for: 1m", "for: 2m")),
        "a moment of progress does not end it": (STALLED, STALLED.replace(
            'lockstep_coordinator_nodes{state="stalled"}',
            'max_over_time(lockstep_coordinator_nodes{state="stalled"}[2m])')),
        "which coordinator is summed away": (STALLED, f"sum({STALLED}".replace("> 0", ") > 0")),
        "more severe": (STALLED + "\n        labels:\n          severity: warning",
                        STALLED + "\n        labels:\n          severity: critical"),
        "no number in the text": ("{{ $value }} node(s) of coordinator {{ $labels.instance }} have",
                                  "Nodes of coordinator {{ $labels.instance }} have"),
    },
    "LockstepResumeMismatch": {
        "a misspelt counter": (MISMATCH, MISMATCH.replace("mismatches", "mismatch")),
        "all mismatches since the start": (MISMATCH, "lockstep_resume_mismatches_total > 0"),
        "a restart is a mismatch": (MISMATCH, MISMATCH.replace("increase(", "abs(delta(")
                                    .replace("[10m])", "[10m]))")),
        "one is not enough": (MISMATCH, MISMATCH.replace("> 0", "> 2")),
        "none is one": (MISMATCH, MISMATCH.replace("> 0", ">= 0")),
        "forgotten too soon": (MISMATCH, MISMATCH.replace("10m", "1m")),
        "remembered too long": (MISMATCH, MISMATCH.replace("10m", "30m")),
        "said late": (MISMATCH, MISMATCH + "\n        for: 1m"),
        "any failure is one": (MISMATCH, MISMATCH.replace("resume_mismatches", "decode_failures")),
        "which node is summed away": (MISMATCH, f"sum by (job, namespace) ({MISMATCH})"),
        "less severe": (MISMATCH + "\n        labels:\n          severity: critical",
                        MISMATCH + "\n        labels:\n          severity: warning"),
        "no number in the text": ('About {{ printf "%.0f" $value }} resumed stream(s)', "Streams"),
    },
    "LockstepFingerprintsDiffer": {
        "a misspelt gauge": ("lockstep_model_fingerprints", "lockstep_model_fingerprint"),
        "one fingerprint is two": ("(lockstep_model_fingerprints) > 1",
                                   "(lockstep_model_fingerprints) >= 1"),
        "coordinators add theirs": ("max by (namespace, job, model)",
                                    "sum by (namespace, job, model)"),
        "which model is summed away": ("by (namespace, job, model)", "by (namespace, job)"),
        "a rolling change is told": ("for: 10m", "for: 5m"),
        "it takes too long": ("for: 10m", "for: 30m"),
        "no number in the text": ("have {{ $value }} different", "have different"),
    },
    "LockstepDeviceErrors": {
        "a misspelt counter": ("lockstep_device_errors_total", "lockstep_device_error_total"),
        "a corrected error is one": ('lockstep_device_errors_total{kind="ecc_uncorrected"}',
                                     "lockstep_device_errors_total"),
        "only corrected errors are": ('kind="ecc_uncorrected"', 'kind="ecc_corrected"'),
        "from the second error on": (UNCORRECTED + " > 0", UNCORRECTED + " > 1"),
        "a device without errors has some": (UNCORRECTED + " > 0", UNCORRECTED + " >= 0"),
        "over while the node restarts": (UNCORRECTED, UNCORRECTED.replace("max_over_time(", "(")
                                         .replace("[10m]", "")),
        "an error of before the node is none": (UNCORRECTED, UNCORRECTED.replace(
            "max_over_time", "increase")),
        "over too soon": (UNCORRECTED, UNCORRECTED.replace("10m", "1m")),
        "over late": (UNCORRECTED, UNCORRECTED.replace("10m", "30m")),
        "said late": (UNCORRECTED + " > 0", UNCORRECTED + " > 0\n        for: 1m"),
        "which rank is summed away": (UNCORRECTED, f"max by (namespace, instance) ({UNCORRECTED})"),
        "less severe": (UNCORRECTED + " > 0\n        labels:\n          severity: critical",
                        UNCORRECTED + " > 0\n        labels:\n          severity: warning"),
        "no number in the text": ("ECC found {{ $value }} error(s)", "ECC found errors"),
        "no rank in the text": ("of rank {{ $labels.rank }} of", "of"),
    },
    "LockstepIndexLag": {
        "a misspelt gauge": (LAG, LAG.replace("batches", "batch")),
        "no lag is one": (LAG, LAG.replace("> 0", ">= 0")),
        "a batch under way is one": (LAG, LAG.replace("5m", "1m")),
        "it takes too long": (LAG, LAG.replace("5m", "15m")),
        "a moment without lag does not end it": (LAG, LAG.replace(
            "lockstep_index_lag_batches", "max_over_time(lockstep_index_lag_batches[2m])")),
        "a misspelt counter": (RESYNCS, RESYNCS.replace("resyncs_total", "resync_total")),
        "a start is a fault": (RESYNCS, RESYNCS.replace('{cause!="start"}', "")),
        "one replay is too many": (RESYNCS, RESYNCS.replace("> 5", "> 0")),
        "each cause counts for itself": (RESYNCS, RESYNCS.replace("node)", "node, cause)")),
        "which node is summed away": (RESYNCS, RESYNCS.replace(", node)", ")")),
        "forgotten too soon": (RESYNCS, RESYNCS.replace("10m", "1m")),
        "never forgotten": (RESYNCS, RESYNCS.replace("(increase", "").replace("[10m])", "")),
        "no number of batches": ("not applied {{ $value }} batch(es)", "not applied batches"),
        "no number of requests": ('about {{ printf "%.0f" $value }} times', "many times"),
    },
}


def promtool(*arguments, cwd):
    """(exit code, everything it said)"""
    done = subprocess.run(["promtool", *arguments], cwd=cwd, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def copied(tmp_path):
    return pathlib.Path(shutil.copytree(PROMETHEUS, tmp_path / "prometheus"))


def replace(file, old, new):
    text = file.read_text()
    assert old in text, f"{file.name} has no {old!r}"
    file.write_text(text.replace(old, new))


def test_the_configuration_is_valid():
    code, said = promtool("check", "config", "prometheus.yml", cwd=PROMETHEUS)
    assert code == 0 and "SUCCESS: 11 rules found" in said, said


@pytest.mark.parametrize("old, new", [("scrape_interval", "scrape_intervall"),
                                      ("alerts.yml]", "alarms.yml]"),
                                      ("regex: ([^.]+)", "regex: ([^.]+")])
def test_a_mistake_in_the_configuration_is_noticed(copied, old, new):
    replace(copied / "prometheus.yml", old, new)
    assert promtool("check", "config", "prometheus.yml", cwd=copied)[0] != 0


def test_the_rules_are_valid_and_say_what_to_do():
    code, said = promtool("check", "rules", "--lint-fatal", "alerts.yml", cwd=PROMETHEUS)
    assert code == 0, said
    rules = [rule for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
             for rule in group["rules"]]
    assert {rule["alert"] for rule in rules} == {
        "LockstepDecodeFailures", "LockstepDeviceErrors", "LockstepFingerprintsDiffer",
        "LockstepIndexLag", "LockstepKvPressure", "LockstepNodeGone", "LockstepNodeStalled",
        "LockstepResumeMismatch"}
    for rule in rules:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert 10 < len(rule["annotations"]["summary"]) < 120
        assert len(rule["annotations"]["description"]) > 120


def test_the_cases_pass():
    code, said = promtool("test", "rules", "alerts_test.yml", cwd=PROMETHEUS)
    assert code == 0, said


def cases_of(alert, file):
    """Leaves only this alert's cases in the file, which is all that a mutation of it needs."""
    content = yaml.safe_load(file.read_text())
    content["tests"] = [case for case in content["tests"] if alert in json.dumps(case)]
    assert len(content["tests"]) >= 4
    file.write_text(yaml.safe_dump(content))


@pytest.mark.parametrize("alert, mutation", [(alert, mutation) for alert, mutations in
                                             MUTATIONS.items() for mutation in mutations])
def test_the_cases_notice(copied, alert, mutation):
    replace(copied / "alerts.yml", *MUTATIONS[alert][mutation])
    cases_of(alert, copied / "alerts_test.yml")
    code, said = promtool("test", "rules", "alerts_test.yml", cwd=copied)
    assert code != 0 and "got:" in said, f"no case noticed: {said}"


def test_every_job_asks_an_admin_port_that_a_headless_service_names():
    """_admin._tcp.SERVICE.NAMESPACE.svc has answers only for a named port of a headless Service."""
    base = Base()
    known = {service["metadata"]["name"]: service for service in base.all("Service")}
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    components = {}
    for job in config["scrape_configs"]:
        port, _, service, *_ = job["dns_sd_configs"][0]["names"][0].split(".")
        spec = known[service]["spec"]
        assert spec["clusterIP"] == "None" and spec["publishNotReadyAddresses"]
        components[job["job_name"]] = component(known[service])
        assert {p["name"]: p["targetPort"] for p in spec["ports"]}[port.lstrip("_")] == "admin"
    assert components == {"lockstep-node": "node", "lockstep-coordinator": "coordinator"}
