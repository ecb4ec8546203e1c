"""deploy/prometheus: promtool accepts configuration and rules, the cases in alerts_test.yml pass,
and they are worth something: each way to break a rule turns them red."""

import json
import pathlib
import shutil
import subprocess

import pytest
import yaml
from kubernetes_validate import ValidationError, validate

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
BASE = ROOT / "deploy" / "k8s" / "base"

CRITICAL = "labels:\n          severity: critical\n          "
COUNTED = "(increase(lockstep_decode_failures_total[10m])) > 0\n        labels"
UNLESS = """
          unless
          sum by (namespace) (increase(lockstep_decode_failures_total[10m])) > 0"""

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
        "forgotten too soon": (COUNTED, COUNTED.replace("10m", "1m")),
        "every way to end is a lost node": ('{outcome="decode_failed"}', ""),
        "hanging up is a lost node": ('outcome="decode_failed"', 'outcome="disconnected"'),
        "a counted cause is a lost node too": (UNLESS, ""),
        "failures anywhere hide a lost node": (
            UNLESS, UNLESS.replace("unless", "unless on ()").replace(" by (namespace)", "")),
        "a lost node is said too early": ("for: 1m\n        " + CRITICAL + "cause",
                                          "for: 0m\n        " + CRITICAL + "cause"),
        "less severe": ("severity: critical", "severity: warning"),
        "no number in the text": ('About {{ printf "%.0f" $value }} request(s)', "Some requests"),
    },
    "LockstepKvPressure": {
        "a misspelt gauge": ("lockstep_sequences_waiting[2m]", "lockstep_sequence_waiting[2m]"),
        "promised blocks count as free": ('{state="free"}', '{state!="active"}'),
        "from half a pool on": ("> 0.8", "> 0.5"),
        "only in a pool that is full": ("> 0.8", "> 0.99"),
        "without anybody waiting": ("[2m]) >= 1", "[2m]) >= 0"),
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
        "nobody in DNS is fine": (' or absent(up{job="lockstep-node"})', ""),
        "draining is gone": ("|suspect|dead", "|suspect|dead|draining"),
        "dead is not gone": ("|suspect|dead", "|suspect"),
        "suspect is not gone": ("|suspect|dead", "|dead"),
        "connecting is not gone": ("connecting|suspect", "suspect"),
        "each state waits for itself": ("sum without (state) (lockstep_coordinator_nodes",
                                        "(lockstep_coordinator_nodes"),
        "a node that loads is gone": ("for: 3m", "for: 1m"),
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


def services(*files):
    """{name: Service} of these files."""
    found = [doc for file in files for doc in yaml.safe_load_all(file.read_text())]
    return {doc["metadata"]["name"]: doc for doc in found if doc["kind"] == "Service"}


def test_the_configuration_is_valid():
    code, said = promtool("check", "config", "prometheus.yml", cwd=PROMETHEUS)
    assert code == 0 and "SUCCESS: 5 rules found" in said, said


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
    assert {rule["alert"] for rule in rules} == {"LockstepDecodeFailures", "LockstepKvPressure",
                                                 "LockstepNodeGone"}
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
    known = services(BASE / "node.yaml", BASE / "coordinator.yaml",
                     PROMETHEUS / "coordinator-admin.yaml")
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    components = {}
    for job in config["scrape_configs"]:
        port, _, service, *_ = job["dns_sd_configs"][0]["names"][0].split(".")
        spec = known[service]["spec"]
        assert spec["clusterIP"] == "None" and spec["publishNotReadyAddresses"]
        assert port.lstrip("_") in [p["name"] for p in spec["ports"]]
        components[job["job_name"]] = spec["selector"]["app.kubernetes.io/component"]
    assert components == {"lockstep-node": "node", "lockstep-coordinator": "coordinator"}


def test_the_coordinators_admin_service_meets_the_coordinators_pods():
    ours = services(PROMETHEUS / "coordinator-admin.yaml")["lockstep-coordinator-admin"]
    docs = list(yaml.safe_load_all((BASE / "coordinator.yaml").read_text()))
    deployment = next(doc for doc in docs if doc["kind"] == "Deployment")
    ports = {port["name"]: port["containerPort"] for container in
             deployment["spec"]["template"]["spec"]["containers"] for port in container["ports"]}
    assert ours["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"]
    assert [ports[port["targetPort"]] for port in ours["spec"]["ports"]] == [9100]


def test_the_service_is_what_kubernetes_accepts():
    service = yaml.safe_load((PROMETHEUS / "coordinator-admin.yaml").read_text())
    validate(service, "1.37", strict=True)
    service["spec"]["publishNotReadyAdresses"] = service["spec"].pop("publishNotReadyAddresses")
    with pytest.raises(ValidationError):
        validate(service, "1.37", strict=True)
