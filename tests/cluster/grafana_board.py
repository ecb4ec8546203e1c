"""A Grafana board as its Prometheus data source sees it: variables are filled in, every target is
asked, and what a viewer would miss is named.
"""

import json
import math
import pathlib
import re

SHIPPED = pathlib.Path(__file__).resolve().parents[2] / "deploy" / "grafana" / "lockstep.json"


def load():
    return json.loads(SHIPPED.read_text())


def panels(board):
    """Every panel, those of collapsed rows included."""
    return [inner for panel in board["panels"] for inner in [panel, *panel.get("panels", [])]]


def row(board, title):
    """The board with the panels of this row only, its variables included."""
    rows = [i for i, panel in enumerate(board["panels"]) if panel["type"] == "row"]
    begin = next(i for i in rows if board["panels"][i]["title"] == title)
    end = min((i for i in rows if i > begin), default=len(board["panels"]))
    return dict(board, panels=board["panels"][begin:end])


def without_row(board, title):
    left_out = row(board, title)["panels"]
    return dict(board, panels=[panel for panel in board["panels"] if panel not in left_out])


def variables(board):
    return [v for v in board["templating"]["list"] if v["type"] == "query"]


def metric_names(expression):
    return sorted(set(re.findall(r"\blockstep_\w+", expression)))


def fill_in(text, values):
    """Replaces $name and ${name}; longest names first, as $instance would match in $instances."""
    for name in sorted(values, key=len, reverse=True):
        text = re.sub(rf"\$\{{{name}\}}|\${name}\b", lambda _: values[name], text)
    return text


def as_regex(values):
    """Grafana's way to put several values into =~: escaped twice, for the regex and the string."""
    escaped = [re.sub(r"([\\^$*+?.()|\[\]{}])", r"\\\\\1", value) for value in values]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


def all_selected(board, prometheus, rate_interval):
    """{variable: text}: each query variable at "All", in their order, for they use each other."""
    values = {"__rate_interval": rate_interval}
    for variable in variables(board):
        if "allValue" in variable:
            values[variable["name"]] = variable["allValue"]
            continue
        series, label = re.fullmatch(r"label_values\((.*), (\w+)\)",
                                     variable["query"]["query"]).groups()
        found = prometheus.get(f"/api/v1/label/{label}/values",
                               **{"match[]": fill_in(series, values)})
        assert found, f"variable {variable['name']} has no values"
        values[variable["name"]] = as_regex(found)
    return values


def legend(target, labels):
    return re.sub(r"\{\{(\w+)\}\}", lambda m: labels.get(m[1], m[0]), target["legendFormat"])


def problem(prometheus, values, target):
    """(why this target shows nothing or None, the legends it shows)"""
    expression = fill_in(target["expr"], values)
    if left := re.findall(r"\$\w+", expression):
        return f"unknown variables {left}", []
    samples = prometheus.query(expression)
    legends = [legend(target, labels) for labels, _ in samples]
    if not samples:
        return "no series", legends
    for labels, value in samples:
        if not math.isfinite(value):
            return f"{value} for {labels}", legends
    if bare := [text for text in legends if "{{" in text]:
        return f"the series lack what the legend names: {bare}", legends
    return None, legends


def problems(board, prometheus, rate_interval="5s"):
    """One line for every target that shows nothing now, and every override that meets no series."""
    values = all_selected(board, prometheus, rate_interval)
    found = []
    for panel in panels(board):
        shown = set()
        for target in panel.get("targets", []):
            why, legends = problem(prometheus, values, target)
            shown.update(legends)
            if why:
                found.append(f"{panel['title']}: {why}: {target['expr']}")
        named = {override["matcher"]["options"]
                 for override in panel.get("fieldConfig", {}).get("overrides", [])}
        found += [f"{panel['title']}: no series is called {name}" for name in named - shown]
    return found
