"""Fault points are named alike everywhere, stand somewhere, and are in nothing that is shipped."""

import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
HEADER = (ROOT / "common" / "fault_points.h").read_text()
MUTANTS = (ROOT / "tests" / "mutants" / "CMakeLists.txt").read_text()
# What tests arm themselves; all others are mutants of tests/mutants.
FAULTS = {"kAllocatorRefuses", "kRankThrows", "kRankIsLate", "kRankStalls", "kRowIsNan", "kKeyIsNan",
          "kSlowCopies", "kHostBitFlip", "kThreadRefused", "kRankConfiguredOtherwise",
          "kEngineConfiguredOtherwise"}
# Where nothing fails of itself: the programs' settings, not the engine.
SHIPPED = ("deploy/quickstart.sh", "deploy/Dockerfile")


def enumerators():
    body = re.search(r"enum class Fault : uint8_t \{(.*?)\n\};", HEADER, re.S).group(1)
    return re.findall(r"^  (k\w+),", body, re.M)[:-1]  # kCount


def flag_name(enumerator):
    return re.sub(r"(?<!^)([A-Z])", r"-\1", enumerator[1:]).lower()


def test_every_fault_has_its_name():
    names = re.findall(r'^    "([a-z-]+)",', (ROOT / "common" / "fault_points.cpp").read_text(), re.M)
    assert names == [flag_name(e) for e in enumerators()]


def test_every_fault_stands_somewhere_and_outside_the_kernels():
    sources = [p for top in ("common", "kernels", "parallel", "node", "coordinator", "clients")
               for p in (ROOT / top).rglob("*") if p.suffix in (".h", ".cpp", ".cu", ".cuh")]
    used = {name: {p.relative_to(ROOT).parts[0] for p in sources
                   if f"Fault::{name}" in p.read_text()} for name in enumerators()}
    assert [name for name, tops in used.items() if not tops] == []
    assert [name for name, tops in used.items() if "kernels" in tops] == []


def test_every_mutant_has_a_test_that_it_turns_red():
    listed = set(re.findall(r"^lockstep_mutant\(([a-z-]+) ", MUTANTS, re.M))
    assert listed == {flag_name(e) for e in enumerators() if e not in FAULTS}


def test_what_is_shipped_is_built_without_them():
    for path in SHIPPED:
        builds = [line for line in (ROOT / path).read_text().replace("\\\n", " ").splitlines()
                  if "-DLOCKSTEP_TESTS=OFF" in line]
        assert builds and all("-DLOCKSTEP_FAULT_POINTS=OFF" in line for line in builds), path


def test_without_the_option_nothing_of_them_is_in_a_binary(tmp_path):
    user = tmp_path / "user.cpp"
    user.write_text('#include <stdexcept>\n#include "common/fault_points.h"\n'
                    "#ifndef LOCKSTEP_FAULT_POINTS\n"
                    "static_assert(!lockstep::fault(lockstep::Fault::kRankThrows, 3));\n"
                    "#endif\n"
                    "void step() { if (lockstep::fault(lockstep::Fault::kRankThrows)) throw 1; }\n"
                    "int main(int argc, char** argv) {"
                    " step(); return lockstep::take_fault_flags(argc, argv) ? 0 : 1; }\n")
    for flags, is_there in (([], False), (["-DLOCKSTEP_FAULT_POINTS"], True)):
        program = tmp_path / "program"
        subprocess.run(["g++", "-std=c++20", "-O1", f"-I{ROOT}", *flags, "-o", program, user,
                        *(ROOT / "common" / name for name in ("fault_points.cpp", "check.cpp"))],
                       check=True)
        names = subprocess.run(["nm", "-C", program], capture_output=True, text=True,
                               check=True).stdout
        assert ("fault_points" in names) == is_there
        assert (b"rank-throws" in program.read_bytes()) == is_there
