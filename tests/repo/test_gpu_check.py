"""deploy/gpu_check.sh and the program that it runs: on an emulated GPU, so that a run on a real one
meets no line for the first time, and where no GPU is."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from search_path import path_without

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ["LOCKSTEP_BIN"])
PROGRAM = BIN / "lockstep-gpu-check"
MODULE = BIN.parent / "tests" / "libemulated_cuda_module.so"
NCCL = BIN.parent / "tests" / "emulated_nccl" / "libnccl.so.2"
STAGES = ["probe", "bits", "carriers", "ceilings", "rates", "models", "nccl", "sanitizer"]

def run(*arguments, program=PROGRAM):
    return subprocess.run([str(program), *map(str, arguments)], capture_output=True, text=True)


def script(*arguments, tree=ROOT, **environment):
    return subprocess.run([str(tree / "deploy" / "gpu_check.sh"), *map(str, arguments)],
                          capture_output=True, text=True, env=dict(os.environ, **environment))


def on_emulated_gpu(out, *arguments):
    if not MODULE.exists():
        pytest.skip("there is no emulated module in a build without nccl.h")
    return script("--program", PROGRAM, "--module", MODULE, "--nccl-library", NCCL, "--sizes",
                  "small", "--ranks-as", "threads", "--out", out, *arguments)


def lines_of(folder):
    return [json.loads(line) for line in (folder / "gpu_check.jsonl").read_text().splitlines()]


def statuses(folder):
    return {line["stage"]: line["status"] for line in lines_of(folder) if "status" in line}


def fake_sanitizer(folder, command, report):
    """Runs a command, "$@" being the program's, and then reports as compute-sanitizer does."""
    path = folder / "compute-sanitizer"
    path.write_text(f"""#!/bin/bash
while [[ "$1" == --* ]]; do shift 2; done
{command} || exit
echo "========= COMPUTE-SANITIZER"
echo "========= {report}"
""")
    path.chmod(0o755)
    return path


def test_every_stage_runs_on_an_emulated_gpu(tmp_path):
    # The stage `bits` has run all cases; the first one of each run tells whether the program was
    # called rightly.
    sanitizer = fake_sanitizer(tmp_path, '"$@" | head -n 2', "ERROR SUMMARY: 0 errors")
    ran = on_emulated_gpu(tmp_path, "--sanitizer", sanitizer)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = statuses(tmp_path)
    assert list(found) == STAGES
    assert set(found.values()) == {"ok"}
    table = ran.stdout.splitlines()[-len(STAGES) - 1:]
    assert table[0].split() == ["stage", "status", "seconds", "summary"]
    assert [row.split()[0] for row in table[1:]] == STAGES

    written = list(tmp_path.glob("*-emulated-gpu-0.json"))
    assert len(written) == 1
    run_ = json.loads(written[0].read_text())
    assert run_["facts"]["command"].startswith("deploy/gpu_check.sh --program ")
    assert {"commit", "date", "processors", "tools", "CUDA"} <= set(run_["facts"])
    results = {stage["stage"]: stage["results"] for stage in run_["stages"]}
    ops = {r["op"] for r in results["bits"]}
    assert {"attention", "linear Q8_0", "linear F32", "embed", "rope_store"} <= ops
    assert all(r["different"] == r["died"] == 0 and r["values"] > 0 for r in results["bits"])
    assert all(r["wrong_f16"] == r["wrong_bytes"] == 0 for r in results["carriers"])
    assert all(r["us"] > 0 for r in results["rates"])
    assert results["sanitizer"][0]["what"] == "memcheck, all ops: 1 cases, 0 lines of reports"
    assert all(r["what"].endswith(": 1 cases, 0 lines of reports") for r in results["sanitizer"])
    assert len(results["models"]) == 4 and all("result" in r for r in results["models"])


def test_a_report_of_the_sanitizer_is_a_failure(tmp_path):
    sanitizer = fake_sanitizer(tmp_path, "echo done 0 1 0",
                               "Invalid __global__ read of size 4 bytes")
    ran = on_emulated_gpu(tmp_path, "--stages", "sanitizer", "--sanitizer", sanitizer)
    assert ran.returncode == 1 and statuses(tmp_path) == {"sanitizer": "failed"}
    assert "Invalid __global__ read of size 4 bytes" in ran.stdout


def test_without_a_sanitizer_the_stage_is_skipped_and_says_why(tmp_path):
    ran = on_emulated_gpu(tmp_path, "--stages", "sanitizer", "--sanitizer", "no-such-program")
    assert ran.returncode == 0 and statuses(tmp_path) == {"sanitizer": "skipped"}
    assert "skipped: no compute-sanitizer" in ran.stdout


def test_a_run_that_is_cut_short_leaves_what_it_had(tmp_path):
    late = on_emulated_gpu(tmp_path / "late", "--stages", "probe,bits", "--seconds", "3")
    assert late.returncode == 0
    assert statuses(tmp_path / "late") == {"probe": "skipped", "bits": "skipped"}
    assert "skipped: no time is left" in late.stdout
    ran = run("--stage", "rates", "--module", MODULE, "--sizes", "small", "--seconds", "0.05",
              "--results", tmp_path / "gpu_check.jsonl")
    assert ran.returncode == 0, ran.stdout
    *results, last = lines_of(tmp_path)
    assert last["status"] == "cut short" and all("us" in result for result in results)


def test_a_probe_says_what_the_machine_has(tmp_path):
    ran = on_emulated_gpu(tmp_path, "--probe")
    assert ran.returncode == 0 and statuses(tmp_path) == {"probe": "ok"}
    for fact in ("nvidia-smi: ", "processors: ", "tools: nvcc ", "device 0: emulated GPU 0, "):
        assert fact in ran.stdout


def test_cases_that_end_their_process_do_not_end_the_others(tmp_path):
    """A module whose first kernel ends the process is one that no case gets through."""
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"no library")
    ran = run("--stage", "bits", "--module", broken, "--sizes", "small")
    assert ran.returncode == 1
    assert len(re.findall(r"^WRONG  embed, .*: exit code 1: failed: CUDA module: ", ran.stdout,
                          re.M)) == 8
    assert "0 of 0 values differ, 8 died" in ran.stdout


def test_without_a_gpu_the_stages_say_so(tmp_path):
    """A module that is there and cannot be used is an error."""
    for stage in ("probe", "carriers", "bits", "nccl"):
        ran = run("--stage", stage, "--module", tmp_path / "none.so")
        assert ran.returncode == 2 and ran.stdout.splitlines()[-1].startswith("skipped: no "), stage
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"no library")
    ran = run("--stage", "probe", "--module", broken)
    assert ran.returncode == 1 and ran.stdout.startswith("failed: CUDA module: "), ran.stdout
    ran = script("--program", PROGRAM, "--module", tmp_path / "none.so", "--out", tmp_path)
    assert ran.returncode == 2
    assert statuses(tmp_path) == dict.fromkeys(STAGES, "skipped")
    assert not list(tmp_path.glob("*.json"))


def test_unknown_arguments_are_refused():
    for arguments in (("--stages",), ("--stage", "x"), ("--stage", "bits", "--sizes", "huge"), ()):
        ran = run(*arguments)
        assert ran.returncode == 64 and "usage: lockstep-gpu-check" in ran.stderr, arguments
    for arguments in (("--help",), ("-j",), ("a.json",), ("--seconds",)):
        ran = script(*arguments)
        assert ran.returncode == 1 and ran.stdout == ""
        assert ran.stderr.startswith("error: usage: deploy/gpu_check.sh [--probe]"), ran.stderr


def test_nothing_is_built_without_nvcc(tmp_path):
    tree = tmp_path / "tree"
    for part in ("deploy", "bench", "common", "kernels", "node", "parallel"):
        shutil.copytree(ROOT / part, tree / part)
    for part in ("CMakeLists.txt", "CMakePresets.json"):
        shutil.copy(ROOT / part, tree / part)
    path = path_without("nvcc", tmp_path)
    ran = script("--stages", "probe", tree=tree, PATH=path)
    assert ran.returncode == 1 and ran.stderr.endswith("error: nvcc is not on PATH\n"), ran.stderr
    ran = script("--probe", tree=tree, PATH=path)
    assert ran.returncode == 0 and "program: none; it would be built" in ran.stdout, ran.stderr


def sources_of_the_check():
    """The files of node/ that the build for a GPU machine alone compiles (bench/gpu/CMakeLists.txt)."""
    globs = re.findall(r"\$\{CMAKE_SOURCE_DIR\}/(node/\S+?)/\*\.cpp",
                       (ROOT / "bench" / "gpu" / "CMakeLists.txt").read_text())
    assert "node/model/weights" in globs
    return {str(path.relative_to(ROOT)) for folder in globs
            for path in (ROOT / folder).glob("*.cpp" if folder == "node/model" else "**/*.cpp")}


def test_a_build_for_a_gpu_machine_alone_has_every_source_that_it_needs():
    """Such a build links no library of node/: what its sources include, it must compile itself."""
    not_called = {"node/text/marked_text.cpp"}  # included by tokenizer.h, for a type in an interface
    built = sources_of_the_check()
    missing, seen, left = set(), set(), sorted(built)
    while left:
        name = left.pop()
        if name in seen:
            continue
        seen.add(name)
        for header in re.findall(r'#include "(node/[^"]+)\.h"', (ROOT / name).read_text()):
            left.append(f"{header}.h")
            if (ROOT / f"{header}.cpp").exists() and f"{header}.cpp" not in built:
                missing.add(f"{header}.cpp")
    assert missing == not_called


def report(*arguments, tree=ROOT):
    return subprocess.run([sys.executable, str(tree / "bench" / "gpu" / "report.py"), *arguments],
                          capture_output=True, text=True)


def test_the_page_has_what_the_newest_run_found():
    checked = report("docs", "--check")
    assert checked.returncode == 0, checked.stderr


def tree_with(tmp_path, **runs):
    tree = tmp_path / "tree"
    for name in ("bench/gpu/report.py", "docs/performance.md"):
        (tree / name).parent.mkdir(parents=True)
        shutil.copy(ROOT / name, tree / name)
    (tree / "bench" / "gpu" / "results").mkdir()
    for name, found in runs.items():
        (tree / "bench" / "gpu" / "results" / f"{name}.json").write_text(json.dumps(found))
    return tree


RUN = {"facts": {"date": "2030-01-02T03:04:05Z", "device 0": "NVIDIA X, compute capability 9.0",
                 "CUDA": "driver 13.0", "commit": "abc", "command": "deploy/gpu_check.sh"},
       "stages": [{"stage": "bits", "status": "failed", "seconds": 3.2, "summary": "1 differs",
                   "results": [{"op": "embed", "what": "3 rows", "fault": "1 of 9 values differ"}]},
                  {"stage": "rates", "status": "ok", "seconds": 9.0, "summary": "2 rates measured",
                   "results": [{"op": "linear Q8_0", "what": "8B o 4096 x 4096, 64 tokens",
                                "us": 12.5, "gb_per_s": 1000.0, "tops": 310.0},
                               {"op": "silu_mul", "what": "96 wide, 1 token", "us": 1.5,
                                "gb_per_s": 20.0}]}]}


def test_the_page_says_plainly_that_nothing_has_run_on_a_gpu(tmp_path):
    tree = tree_with(tmp_path, **{"2031-01-01-emulated-gpu-0": RUN})
    assert report("docs", tree=tree).returncode == 0
    page = (tree / "docs" / "performance.md").read_text()
    assert "**No CUDA kernel has run on a GPU yet.**" in page


def test_the_page_shows_a_run(tmp_path):
    tree = tree_with(tmp_path, **{"2030-01-02-nvidia-x": RUN})
    assert report("docs", "--check", tree=tree).returncode == 1
    assert report("docs", tree=tree).returncode == 0
    assert report("docs", "--check", tree=tree).returncode == 0
    page = (tree / "docs" / "performance.md").read_text()
    assert "No CUDA kernel has run" not in page
    for text in ("2030-01-02, NVIDIA X, compute capability 9.0; CUDA driver 13.0; commit abc.",
                 "| bits | failed | 3 | 1 differs |",
                 "- bits: embed 3 rows: 1 of 9 values differ",
                 "| 8B o 4096 x 4096 |  |  | 12.5 µs, 310 TOP/s |  |",
                 "| silu_mul | 96 wide, 1 token | 1.5 µs | 20 GB/s |"):
        assert text in page, text
