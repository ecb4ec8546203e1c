"""deploy/quickstart.sh as a newcomer runs it, but with these binaries: the package managers and CMake
are stand-ins that have nothing to do and note each call."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest
from processes import BIN, SMOLLM2

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def tree(tmp_path):
    """A copy of deploy/ with the programs where the build would put them."""
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    (tmp_path / "CMakePresets.json").write_text("{}")
    (tmp_path / "build").mkdir()
    (tmp_path / "build/bin").symlink_to(BIN)
    cache = tmp_path / "home/.cache/lockstep"
    cache.mkdir(parents=True)
    (cache / "SmolLM2-135M-Instruct.Q4_1.gguf").symlink_to(SMOLLM2)
    stand_ins = tmp_path / "bin"
    stand_ins.mkdir()
    for name, body in (
            ("cmake", "[ \"$1\" = --build ] || touch build/build.ninja build/CMakeCache.txt"),
            ("dpkg-query", "shift 3; for p; do echo \"$p install ok installed\"; done"),
            ("apt-get", "exit 1"), ("python3", "exit 1")):
        (stand_ins / name).write_text(f'#!/bin/bash\necho "{name} $1" >>{tmp_path}/calls\n{body}\n')
        (stand_ins / name).chmod(0o755)
    return tmp_path


def quickstart(tree, *arguments):
    """(standard output, standard error, the stand-ins' calls)."""
    environment = dict(os.environ, HOME=str(tree / "home"),
                       PATH=f"{tree / 'bin'}:{os.environ['PATH']}")
    done = subprocess.run(["deploy/quickstart.sh", *arguments], cwd=tree, env=environment,
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    calls = (tree / "calls").read_text().splitlines()
    (tree / "calls").unlink()
    return done.stdout, done.stderr, calls


def test_the_default_prompt_is_answered_rightly(tree):
    answer, log, _ = quickstart(tree)
    assert "Neil Armstrong" in answer, answer
    assert "> Who was the first person to walk on the moon?" in log


def test_it_says_how_far_it_is_in_plain_lines_and_a_second_run_only_looks(tree):
    _, log, calls = quickstart(tree)
    assert calls == ["dpkg-query -W", "cmake --preset", "cmake --build"]
    assert re.fullmatch(r"[\x20-\x7e\n]*", log), log
    assert re.findall(r"^  (\w+) in \d+\.\d s$", log, re.M) == ["built", "ready"]
    assert "first token after" in log
    _, again, calls = quickstart(tree)
    assert calls == ["dpkg-query -W", "cmake --build"]
    assert "configuring" in log and "configuring" not in again
