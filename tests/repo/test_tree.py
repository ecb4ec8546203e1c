"""Rules of the tree that a reader relies on: what lies at the top, what no file may hold."""

import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOP = {"node", "coordinator", "kernels", "parallel", "deploy", "configs", "tests", "common", "wire",
       "bench", "clients", "docs", "CMakeLists.txt", "CMakePresets.json", "README.md",
       "ARCHITECTURE.md", "CONTRIBUTING.md", "LICENSE"}


def tracked():
    out = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return out.stdout.split()


def texts(*suffixes):
    for name in tracked():
        if name.endswith(suffixes) and (ROOT / name).is_file():
            yield name, (ROOT / name).read_text()


def test_the_top_level_holds_what_the_architecture_names():
    top = {name.split("/")[0] for name in tracked()}
    assert {name for name in top if not name.startswith(".")} <= TOP


def test_the_readme_has_exactly_two_set_up_commands():
    readme = (ROOT / "README.md").read_text()
    assert set(re.findall(r"^\$? ?((?:deploy|tests)/\S+\.sh)", readme, re.M)) == {
        "deploy/quickstart.sh", "tests/run.sh"}
    assert len(readme.splitlines()) <= 150


def test_no_unfinished_marks_and_no_disabled_tests():
    marks = re.compile(r"\b(TODO|FIXME|XXX)\b|#if 0|DISABLED_|GTEST_SKIP|pytest\.mark\.skip")
    bad = [name for name, text in texts(".h", ".cpp", ".cu", ".py", ".sh")
           if name != "tests/repo/test_tree.py" and marks.search(text)]
    assert bad == []


def test_no_lambda_temporary_inside_co_await():
    """g++ 12 frees the captures of a temporary lambda in a co_await expression too early."""
    inline = re.compile(r"co_await[^;]*?\[[^\]]*\]\s*(\([^)]*\))?\s*(mutable\s*)?(->[^{;]*)?\{", re.S)
    bad = [name for name, text in texts(".h", ".cpp") if inline.search(text)]
    assert bad == []


def test_every_header_is_guarded_by_pragma_once():
    assert [n for n, t in texts(".h", ".cuh") if "#pragma once" not in t] == []


def test_no_environment_variable_knobs():
    bad = [name for name, text in texts(".h", ".cpp")
           if not name.startswith("tests/") and re.search(r"\bgetenv\s*\(", text)]
    assert bad == []


def test_no_two_processes_of_a_test_write_one_file():
    """Tests of one binary run as several processes at once: only TemporaryPath makes up names."""
    users = [name for name, text in texts(".h", ".cpp") if "TempDir()" in text]
    assert users == ["tests/support/temporary_path.cpp"]
