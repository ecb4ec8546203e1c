"""Debian's Prometheus as a child of a test: own port on loopback, own data folder, and the shipped
configuration with other targets and shorter times, so that its jobs and relabelling are what runs.
"""

import json
import pathlib
import re
import shutil
import urllib.error
import urllib.parse
import urllib.request

import yaml
from processes import Process, free_port

SHIPPED = pathlib.Path(__file__).resolve().parents[2] / "deploy" / "prometheus"
NAMESPACE = "lockstep"


def pod_name_in_dns(job, name):
    """What an SRV answer for a pod of this job holds, where prometheus.yml looks for it."""
    service = job["dns_sd_configs"][0]["names"][0].split(".")[2]
    return f"{name}.{service}.{NAMESPACE}.svc.cluster.local."


def with_targets(config, targets):
    """`config` (parsed prometheus.yml) with {job: {pod: port}} in place of DNS answers."""
    for job in config["scrape_configs"]:
        job["static_configs"] = [
            {"targets": [f"127.0.0.1:{port}"],
             "labels": {"__meta_dns_name": job["dns_sd_configs"][0]["names"][0],
                        "__meta_dns_srv_record_target": pod_name_in_dns(job, name)}}
            for name, port in targets[job["job_name"]].items()]
        del job["dns_sd_configs"]
    return config


def in_seconds(rules):
    """The rules' text with a second for every wait, and short averages; 10m windows stay."""
    rules = re.sub(r"^( +for:) \d+m$", r"\1 1s", rules, flags=re.M)
    return rules.replace("[2m]", "[2s]")


class Prometheus:
    """Asks `targets` every `interval_ms`. Use it as a context manager."""

    def __init__(self, folder, targets, interval_ms=400):
        config = yaml.safe_load((SHIPPED / "prometheus.yml").read_text())
        interval = f"{interval_ms}ms"
        config["global"] = dict.fromkeys(config["global"], interval)
        (folder / "prometheus.yml").write_text(yaml.safe_dump(with_targets(config, targets)))
        (folder / "alerts.yml").write_text(in_seconds((SHIPPED / "alerts.yml").read_text()))
        self.n_targets = sum(len(pods) for pods in targets.values())
        self.port = free_port()
        self.process = Process(shutil.which("prometheus"), "--config.file",
                               folder / "prometheus.yml", "--storage.tsdb.path", folder / "data",
                               "--web.listen-address", f"127.0.0.1:{self.port}")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.stop()

    def get(self, path, **parameters):
        """`data` of an answer of its HTTP API; what it refuses is an AssertionError."""
        query = urllib.parse.urlencode(parameters, doseq=True)
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}?{query}",
                                        timeout=60) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            if error.code == 503:  # it still starts
                raise
            raise AssertionError(f"{path}?{query}: {error.read().decode()}") from error

    def query(self, expression):
        """[(labels, value)] of an instant query, now."""
        result = self.get("/api/v1/query", query=expression)["result"]
        return [(sample["metric"], float(sample["value"][1])) for sample in result]

    def is_up(self):
        assert self.process.child.poll() is None, self.process.output()
        try:
            return len(self.query("up == 1")) == self.n_targets
        except OSError:
            return False

    def rules(self):
        return [rule for group in self.get("/api/v1/rules")["groups"] for rule in group["rules"]]

    def alerts(self, name, **labels):
        """Labels of the alerts of this name that fire, by chosen labels."""
        return [alert["labels"] for alert in self.get("/api/v1/alerts")["alerts"]
                if alert["state"] == "firing" and alert["labels"]["alertname"] == name
                and labels.items() <= alert["labels"].items()]
