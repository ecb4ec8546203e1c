"""deploy/grafana/lockstep.json: what Grafana would show wrongly without an error.
tests/cluster/test_observability.py tests that its queries have answers."""

import copy
import itertools
import json
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BOARD = json.loads((ROOT / "deploy" / "grafana" / "lockstep.json").read_text())
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
# What an operator must find on it.
METRICS = {"lockstep_kv_blocks", "lockstep_kv_cache_usage_ratio", "lockstep_prompt_tokens_total",
           "lockstep_prefix_cache_lookup_tokens_total", "lockstep_prefix_cache_hit_tokens_total",
           "lockstep_decode_failures_total",
           "lockstep_coordinator_time_to_first_token_seconds_bucket",
           "lockstep_coordinator_inter_token_seconds_bucket",
           "lockstep_coordinator_request_seconds_bucket", "lockstep_generation_tokens_total",
           "lockstep_coordinator_requests_total", "lockstep_coordinator_requests_lost_total",
           "lockstep_sequences_running",
           "lockstep_sequences_waiting", "lockstep_memory_bytes", "lockstep_device_free_bytes",
           "lockstep_device_errors_total", "lockstep_coordinator_nodes", "lockstep_index_blocks",
           "lockstep_index_lag_batches", "lockstep_index_resyncs_total"}
BUILT_IN = {"__rate_interval"}


def boxes_overlap(a, b):
    return (a["x"] < b["x"] + b["w"] and b["x"] < a["x"] + a["w"]
            and a["y"] < b["y"] + b["h"] and b["y"] < a["y"] + a["h"])


def layout_faults(panels):
    for a, b in itertools.combinations(panels, 2):
        if a["id"] == b["id"]:
            yield f"{a['title']} and {b['title']} have one id"
        if boxes_overlap(a["gridPos"], b["gridPos"]):
            yield f"{a['title']} overlaps {b['title']}"
    for panel in panels:
        if panel["gridPos"]["x"] + panel["gridPos"]["w"] > 24:
            yield f"{panel['title']} is wider than the board"


def panel_faults(panel):
    """What is wrong with a panel that shows data."""
    title = panel["title"]
    if len(panel.get("description", "")) < 20:
        yield f"{title} does not say what it shows"
    if not panel["fieldConfig"]["defaults"].get("unit"):
        yield f"{title} has no unit"
    refs = [target["refId"] for target in panel["targets"]]
    if not refs or len(set(refs)) != len(refs):
        yield f"{title} has queries {refs}"
    for thing in [panel, *panel["targets"]]:
        if thing.get("datasource") != DATASOURCE:
            yield f"{title} asks {thing.get('datasource')}"
    for target in panel["targets"]:
        yield from query_faults(title, target["expr"])


def query_faults(title, expression):
    for selector in re.findall(r"lockstep_\w+(\{.*?\})?", expression):
        if 'namespace=~"$namespace"' not in selector or not re.search(
                r'instance=~"\$(instance|coordinator)"', selector):
            yield f"{title} ignores the variables: {expression}"
    if any(window != "$__rate_interval" for window in re.findall(r"\[(.*?)\]", expression)):
        yield f"{title} has a fixed window: {expression}"
    if re.search(r"_(total|bucket)\{[^}]*\}(?!\[)", expression):
        yield f"{title} shows a counter without a rate: {expression}"


def variable_faults(board):
    defined = [v["name"] for v in board["templating"]["list"]]
    texts = json.dumps([board["panels"], board["annotations"], board["templating"]])
    used = set(re.findall(r"\$\{?(\w+)", texts)) - BUILT_IN - {"__all"}
    for name in used.symmetric_difference(defined):
        yield f"variable {name} is " + ("not used" if name in defined else "not defined")
    for variable in board["templating"]["list"]:
        if variable["type"] == "query" and variable["datasource"] != DATASOURCE:
            yield f"variable {variable['name']} asks {variable['datasource']}"


def faults(board):
    panels = board["panels"]
    found = list(layout_faults(panels)) + list(variable_faults(board))
    for panel in panels:
        if panel["type"] != "row":
            found += panel_faults(panel)
    missing = METRICS - set(re.findall(r"lockstep_\w+", json.dumps(panels)))
    return found + [f"no panel shows {name}" for name in sorted(missing)]


def test_grafana_can_import_and_replace_it():
    assert (BOARD["uid"], BOARD["id"], BOARD["title"]) == ("lockstep", None, "Lockstep")
    assert BOARD["schemaVersion"] >= 36
    assert {panel["type"] for panel in BOARD["panels"]} == {"row", "timeseries", "table"}
    assert [v["name"] for v in BOARD["templating"]["list"]][0] == "datasource"


def test_the_board_has_no_fault():
    assert faults(BOARD) == []


def test_its_line_of_kv_pressure_is_the_alerts():
    panel = next(p for p in BOARD["panels"] if p["title"] == "Occupancy by node")
    line = panel["fieldConfig"]["defaults"]["thresholds"]["steps"][-1]["value"]
    assert f" > {line}\n" in (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text()


def first_panel(board):
    return next(panel for panel in board["panels"] if panel["type"] == "timeseries")


def break_id(board):
    board["panels"][3]["id"] = board["panels"][2]["id"]


def break_place(board):
    board["panels"][3]["gridPos"]["x"] -= 1


def break_width(board):
    board["panels"][-1]["gridPos"]["w"] += 1


def break_panel_datasource(board):
    first_panel(board)["datasource"] = {"type": "prometheus", "uid": "P4169E866C3094E38"}


def break_target_datasource(board):
    del first_panel(board)["targets"][0]["datasource"]


def break_variable_datasource(board):
    board["templating"]["list"][1]["datasource"] = "Prometheus"


def break_unit(board):
    first_panel(board)["fieldConfig"]["defaults"]["unit"] = ""


def break_description(board):
    first_panel(board)["description"] = ""


def break_variable(board):
    board["templating"]["list"].pop()


def break_panels(board):
    board["panels"] = [p for p in board["panels"] if p["title"] != "Blocks by state"
                       and p["title"] != "Occupancy by node"]


@pytest.mark.parametrize("change", [break_id, break_place, break_width, break_panel_datasource,
                                    break_target_datasource, break_variable_datasource, break_unit,
                                    break_description, break_variable, break_panels])
def test_a_broken_board_is_noticed(change):
    board = copy.deepcopy(BOARD)
    change(board)
    assert len(faults(board)) >= 1


@pytest.mark.parametrize("old, new", [('[$__rate_interval]', '[5m]'),
                                      (',instance=~\\"$instance\\"', ''),
                                      ('namespace=~\\"$namespace\\",', ''),
                                      ('"${datasource}"', '"prometheus"')])
def test_a_broken_query_is_noticed(old, new):
    text = json.dumps(BOARD)
    assert old in text
    assert len(faults(json.loads(text.replace(old, new)))) >= 1


def test_a_counter_without_a_rate_is_noticed():
    assert list(query_faults("t", 'sum(lockstep_x_total{namespace=~"$namespace",'
                                  'instance=~"$instance"})'))
