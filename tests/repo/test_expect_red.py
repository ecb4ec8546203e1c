"""tests/mutants/expect_red.py takes nothing for a noticed mutant but assertions that fail."""

import pathlib
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).resolve().parents[1] / "mutants" / "expect_red.py"
# A stand-in for a test executable, with the exit code, tests and failures that it is given, with
# and without the fault. Without a number of tests it ends before it writes a report.
FAKE = """#!{python}
import json, os, sys
quiet, faulty = {quiet}, {faulty}
code, tests, failures = faulty if "--fault" in sys.argv else quiet
report = next(a for a in sys.argv if a.startswith("--gtest_output=json:")).split(":", 1)[1]
if tests is not None:
    open(report, "w").write(json.dumps(dict(tests=tests, failures=failures)))
if code < 0:
    os.kill(os.getpid(), -code)
sys.exit(code)
"""
GREEN, RED = (0, 3, 0), (1, 3, 2)


@pytest.mark.parametrize("quiet, faulty, is_noticed", [
    (GREEN, RED, True),
    (GREEN, GREEN, False),
    (RED, RED, False),
    ((0, 0, 0), RED, False),        # the filter names nothing
    (GREEN, (0, 0, 0), False),
    (GREEN, (1, 2, 2), False),      # not all of them ran
    (GREEN, (-6, 3, 2), False),     # it ended in an abort, whatever was red before
    (GREEN, (-11, None, 0), False),
    (GREEN, (2, None, 0), False),   # it knows no such fault
])
def test_only_failed_assertions_count(tmp_path, quiet, faulty, is_noticed):
    fake = tmp_path / "fake_test"
    fake.write_text(FAKE.format(python=sys.executable, quiet=quiet, faulty=faulty))
    fake.chmod(0o755)
    run = subprocess.run([sys.executable, SCRIPT, "some-fault", fake, "Some.*"],
                         capture_output=True, text=True)
    assert (run.returncode == 0) == is_noticed, run.stdout + run.stderr
