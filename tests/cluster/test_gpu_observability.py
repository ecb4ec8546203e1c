"""What Prometheus and the board show of a node on GPUs: two emulated ones (tests/cuda_emulation,
tests/nccl_emulation), whose driver counts the errors of memory that the tests write
(tests/nvml_emulation)."""

import re
import types

import grafana_board
import pytest
from processes import BIN, TINY, Process, answers, cluster, free_port, metric, request, wait_for
from prometheus_server import SHIPPED, Prometheus

EMULATED = BIN.parent / "tests"
N_RANKS = 2
DEVICE_BYTES = 1 << 30
METRICS_PAGE = SHIPPED.parents[1] / "docs" / "metrics.md"
ON_GPUS = ["--device", "cuda", "--cuda-module", EMULATED / "libemulated_cuda_module.so",
           "--nccl-library", EMULATED / "emulated_nccl" / "libnccl.so.2",
           "--tensor-parallel-size", N_RANKS, "--num-kv-blocks", 64, "--max-model-len", 512]
MODEL = TINY / "tiny-9-q8_0.gguf"


class Driver:
    """The file that the emulated NVML reads."""

    def __init__(self, folder):
        self.path = folder / "nvml"
        self.count({})

    def count(self, errors):
        """errors: {rank: (corrected, uncorrected)}"""
        new = self.path.with_suffix(".new")
        new.write_text("".join("0000:%02x:00.0 %d %d\n" % (rank + 1, *errors.get(rank, (0, 0)))
                               for rank in range(N_RANKS)))
        new.rename(self.path)  # a reader sees the old counts or the new ones


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A cluster with a node on GPUs that Prometheus reads: .c, .driver, .prometheus"""
    folder = tmp_path_factory.mktemp("watched")
    driver = Driver(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LD_LIBRARY_PATH", str(EMULATED / "emulated_nvml"))
        patch.setenv("LOCKSTEP_EMULATION_NVML", str(driver.path))
        with cluster(MODEL, node_flags=ON_GPUS) as c:
            patch.undo()
            targets = {"lockstep-node": {"lockstep-node-0": c.node_admins[0]},
                       "lockstep-coordinator": {"10-1-2-3": c.admin}}
            with Prometheus(folder, targets) as prometheus:
                wait_for(prometheus.is_up, 60, "both targets up")
                yield types.SimpleNamespace(c=c, driver=driver, prometheus=prometheus)


def page(watched):
    return request(watched.c.node_admins[0], "GET", "/metrics")[1]


def samples(text, name):
    """[(labels, value)] of a metric of a page."""
    return [(dict(re.findall(r'(\w+)="([^"]*)"', labels)), float(value))
            for labels, value in re.findall(rf"^{name}\{{(.*)\}} (\S+)$", text, re.M)]


def test_every_panel_of_gpus_shows_each_rank(watched):
    row = grafana_board.row(grafana_board.load(), "GPUs")
    found = []

    def nothing_is_missing():
        found[:] = grafana_board.problems(row, watched.prometheus)
        return not found
    try:
        wait_for(nothing_is_missing, 60)
    except AssertionError:
        raise AssertionError("\n".join(found)) from None
    values = grafana_board.all_selected(row, watched.prometheus, "5s")
    targets = [target for panel in row["panels"] for target in panel.get("targets", [])]
    assert len(targets) == 3
    for target in targets:
        legends = grafana_board.problem(watched.prometheus, values, target)[1]
        for rank in range(N_RANKS):
            assert [text for text in legends if f"lockstep-node-0 rank {rank}" in text], legends


def test_a_typo_in_a_panel_of_gpus_is_noticed(watched):
    row = grafana_board.row(grafana_board.load(), "GPUs")
    values = grafana_board.all_selected(row, watched.prometheus, "5s")
    for panel in row["panels"]:
        for target in panel.get("targets", []):
            for name in grafana_board.metric_names(target["expr"]):
                wrong = dict(target, expr=target["expr"].replace(name, name[:-1]))
                assert grafana_board.problem(watched.prometheus, values, wrong)[0] == "no series"


def test_the_memory_of_a_rank_is_on_its_device_and_what_is_free_is_the_rest(watched):
    text = page(watched)
    held = {str(rank): {} for rank in range(N_RANKS)}
    for labels, n_bytes in samples(text, "lockstep_memory_bytes"):
        if labels["place"] == "device":
            held[labels["rank"]][labels["tag"]] = n_bytes
    free = {labels["rank"]: n_bytes
            for labels, n_bytes in samples(text, "lockstep_device_free_bytes")}
    assert free.keys() == held.keys()
    for rank, by_tag in held.items():
        assert by_tag["weights"] > 0 and by_tag["kv"] > 0 and by_tag["activations"] > 0, by_tag
        # Nothing is taken without an account but what collectives take.
        unaccounted = DEVICE_BYTES - free[rank] - sum(by_tag.values())
        assert 0 <= unaccounted < 16 << 20


def test_the_documentation_lists_what_a_page_with_gpus_holds_beside_the_others(watched):
    text = page(watched)
    rows = []
    for name, what in sorted(re.findall(r"^# HELP (lockstep_device_\w+) (.*)$", text, re.M)):
        kind = re.search(rf"^# TYPE {name} (\w+)$", text, re.M)[1]
        labels = ", ".join(f"`{label}`" for label in samples(text, name)[0][0])
        rows.append(f"| `{name}` | {kind} | {labels} | {what} |")
    assert len(rows) == 2
    node = METRICS_PAGE.read_text().split("## Node\n")[1].split("\n## ")[0]
    documented = [line for line in node.splitlines() if line.startswith("| `lockstep_device_")]
    assert documented == rows


def test_the_alert_is_of_errors_that_ecc_could_not_correct(watched):
    def shown(kind):
        return {labels["rank"]: n for labels, n in samples(page(watched),
                                                           "lockstep_device_errors_total")
                if labels["kind"] == kind}
    node = {"job": "lockstep-node", "namespace": "lockstep", "instance": "lockstep-node-0"}
    assert shown("ecc_corrected") == shown("ecc_uncorrected") == {"0": 0, "1": 0}
    watched.driver.count({0: (5, 0)})
    assert shown("ecc_corrected") == {"0": 5, "1": 0}
    query = 'lockstep_device_errors_total{kind="ecc_corrected",rank="0"}'
    wait_for(lambda: watched.prometheus.query(query)[0][1] == 5, 60, "corrected errors are read")
    watched.driver.count({0: (5, 0), 1: (0, 2)})
    wait_for(lambda: watched.prometheus.alerts("LockstepDeviceErrors", rank="1", **node), 60,
             "the alert of the rank whose memory lost data")
    assert watched.prometheus.alerts("LockstepDeviceErrors", rank="0") == []


def test_a_node_without_nvml_says_so_once_and_has_no_such_metric(monkeypatch, tmp_path):
    monkeypatch.setenv("LOCKSTEP_EMULATION_NVML", str(tmp_path))
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    (tmp_path / "libnvidia-ml.so.1").write_text("not a library")  # nor is the machine's own found
    admin = free_port()
    node = Process(BIN / "lockstep-node", MODEL, "--listen", f"tcp://127.0.0.1:{free_port()}",
                   "--admin", f"127.0.0.1:{admin}", *ON_GPUS)
    try:
        wait_for(lambda: answers(admin), 60, "ready")
        for rank in range(N_RANKS):
            assert metric(admin, "lockstep_device_free_bytes", rank=rank) > 0
        assert "lockstep_device_errors_total" not in request(admin, "GET", "/metrics")[1]
        said = [line for line in node.output().splitlines() if "not counted" in line]
        assert len(said) == 1 and "errors of device memory are not counted: " in said[0]
        assert "libnvidia-ml.so.1" in said[0]
    finally:
        node.stop()
