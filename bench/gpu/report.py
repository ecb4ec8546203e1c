#!/usr/bin/env python3
"""What deploy/gpu_check.sh found: the table it ends with, the file it leaves, and the GPU section
of docs/performance.md.

    report.py table LINES            prints a row for each stage
    report.py collect LINES FOLDER   writes FOLDER/DATE-DEVICE.json and prints its path
    report.py docs [--check]         writes the section from the newest file in bench/gpu/results

LINES holds a JSON object a line: a fact of the machine, a result of a stage, or the last line of a
stage (bench/gpu/report.h). Needs Python's standard library alone.
"""

import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
RESULTS = ROOT / "bench" / "gpu" / "results"
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- written by bench/gpu/report.py docs -->\n", "<!-- end -->\n"
TOKENS = (1, 8, 64, 512)


def read_lines(path):
    """{"facts": {name: value}, "stages": [{"stage", "status", "seconds", "summary", "results"}]}.
    A stage without a last line was killed."""
    run = {"facts": {}, "stages": []}
    stages = {}
    for line in pathlib.Path(path).read_text().splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # half a line, of a process that was killed
        name = entry.pop("stage")
        if "fact" in entry:
            run["facts"][entry["fact"]] = entry["value"]
            continue
        if name not in stages:
            stages[name] = {"stage": name, "status": "killed", "seconds": 0, "summary": "",
                            "results": []}
            run["stages"].append(stages[name])
        if "status" in entry:
            stages[name].update(entry)
        else:
            stages[name]["results"].append(entry)
    return run


def device_of(run):
    """"NVIDIA H200", from "NVIDIA H200, compute capability 9.0, …"."""
    return run["facts"].get("device 0", "no GPU").split(",")[0]


def table(run):
    rows = [f"{'stage':<10} {'status':<9} {'seconds':>7}  summary"]
    for stage in run["stages"]:
        rows.append(f"{stage['stage']:<10} {stage['status']:<9} {stage['seconds']:>7.1f}  "
                    f"{stage['summary']}")
    return "\n".join(rows)


def as_text(run):
    """JSON with a result a line, so that two runs can be compared by diff."""
    stages = []
    for stage in run["stages"]:
        head = {key: value for key, value in stage.items() if key != "results"}
        lines = ",\n".join("      " + json.dumps(result) for result in stage["results"])
        stages.append("    " + json.dumps(head)[:-1] + ', "results": [' +
                      (f"\n{lines}\n    " if lines else "") + "]}")
    facts = ",\n".join(f"    {json.dumps(name)}: {json.dumps(value)}"
                       for name, value in run["facts"].items())
    return ('{\n  "facts": {\n' + facts + '\n  },\n  "stages": [\n' + ",\n".join(stages) +
            "\n  ]\n}\n")


def collect(path, folder):
    run = read_lines(path)
    device = re.sub(r"[^a-z0-9]+", "-", device_of(run).lower()).strip("-")
    out = pathlib.Path(folder) / f"{run['facts']['date'][:10]}-{device}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(as_text(run))
    return out


def newest():
    """The newest run on a GPU, or None. An emulated device's times say nothing."""
    files = [path for path in sorted(RESULTS.glob("*.json")) if "emulated" not in path.name]
    return (files[-1].name, json.loads(files[-1].read_text())) if files else None


def results_of(run, name):
    return next((stage["results"] for stage in run["stages"] if stage["stage"] == name), [])


def markdown_table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows] if rows else []


def linear_tables(rates):
    """A table for each weight type: matrices by tokens, µs and what binds: GB/s or TOP/s."""
    lines = []
    for op in dict.fromkeys(r["op"] for r in rates if r["op"].startswith("linear ")):
        cells = {}
        for r in rates:
            match = re.fullmatch(r"(.*), (\d+) tokens?", r["what"])
            if r["op"] == op and match:
                rate = (f"{r['gb_per_s']:.0f} GB/s" if int(match[2]) <= 8
                        else f"{r['tops']:.0f} TOP/s")
                cells.setdefault(match[1], {})[int(match[2])] = f"{r['us']:.1f} µs, {rate}"
        rows = [[name] + [row.get(n, "") for n in TOKENS] for name, row in cells.items()]
        lines += [f"`{op}`:", ""]
        head = ["matrix"] + [f"{n} token" + "s" * (n > 1) for n in TOKENS]
        lines += markdown_table(head, rows) + [""]
    return lines


def section(found):
    if found is None:
        return ["**No CUDA kernel has run on a GPU yet.** In the tests they run on an emulated",
                "one, which shows bits and not time. On a machine with a GPU and nvcc, this command",
                "checks the bits there, measures, and writes this section:", "",
                "```sh", "deploy/gpu_check.sh && python3 bench/gpu/report.py docs", "```"]
    name, run = found
    facts = run["facts"]
    lines = [f"{facts['date'][:10]}, {facts.get('device 0', device_of(run))}; CUDA "
             f"{facts.get('CUDA', '?')}; commit {facts.get('commit', '?')}. All results:",
             f"[{name}](../bench/gpu/results/{name}).", "",
             "```sh", facts.get("command", "deploy/gpu_check.sh"), "```", ""]
    lines += markdown_table(["stage", "status", "seconds", "summary"],
                            [[s["stage"], s["status"], f"{s['seconds']:.0f}", s["summary"]]
                             for s in run["stages"]])
    wrong = [(s["stage"], r) for s in run["stages"] for r in s["results"] if "fault" in r]
    if wrong:
        lines += ["", "Wrong:", ""]
        lines += [f"- {stage}: {r.get('op', '')} {r.get('what', '')}: {r['fault']}"
                  for stage, r in wrong]
    ceilings = [[r["what"], f"{r['value']:.1f} {r['unit']}"] for r in results_of(run, "ceilings")]
    if ceilings:
        lines += ["", "The most that the device does of one thing:", ""]
        lines += markdown_table(["", "rate"], ceilings)
    rates = results_of(run, "rates")
    if rates:
        lines += ["", "One launch of each kernel, in a graph; the bytes are those that it must",
                  "read and write.", ""] + linear_tables(rates)
        others = [[r["op"], r["what"], f"{r['us']:.1f} µs", f"{r['gb_per_s']:.0f} GB/s"]
                  for r in rates if not r["op"].startswith("linear ")]
        lines += markdown_table(["op", "shape", "time", "rate"], others)
    return lines


def page_with_section(page, found):
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    return before + BEGIN + "\n".join(section(found)).rstrip() + "\n" + END + after


def main(arguments):
    command, *rest = arguments or [""]
    if command == "table" and len(rest) == 1:
        print(table(read_lines(rest[0])))
    elif command == "collect" and len(rest) == 2:
        print(collect(*rest))
    elif command == "docs" and rest in ([], ["--check"]):
        text = PAGE.read_text()
        new = page_with_section(text, newest())
        if rest:
            return 0 if text == new else "docs/performance.md is not what report.py docs writes"
        PAGE.write_text(new)
    else:
        return __doc__
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
