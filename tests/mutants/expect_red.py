"""expect_red.py FAULT EXECUTABLE FILTER: passes exactly if the tests that FILTER names are green,
and assertions among them fail with the fault on: not a crash, not an empty filter."""

import json
import pathlib
import subprocess
import sys
import tempfile


def run(executable, name_filter, *flags):
    """(exit code, tests run, tests failed, output)"""
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "report.json"
        done = subprocess.run([executable, f"--gtest_filter={name_filter}",
                               f"--gtest_output=json:{report}", *flags], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=140)
        if not report.exists():
            return done.returncode, 0, 0, done.stdout
        counts = json.loads(report.read_text())
        return done.returncode, counts["tests"], counts["failures"], done.stdout


def main():
    fault, executable, name_filter = sys.argv[1:]
    code, n_tests, n_failed, output = run(executable, name_filter)
    if code != 0 or n_tests == 0:
        sys.exit(f"without {fault}: exit code {code}, {n_tests} tests, {n_failed} failed\n{output}")
    code, n_mutant_tests, n_failed, output = run(executable, name_filter, "--fault", fault)
    print(f"{fault}: {n_failed} of {n_mutant_tests} tests are red")
    if code != 1 or n_mutant_tests != n_tests or n_failed == 0:
        sys.exit(f"with {fault}: exit code {code}, {n_mutant_tests} of {n_tests} tests run, "
                 f"{n_failed} failed\n{output[-4000:]}")


if __name__ == "__main__":
    main()
