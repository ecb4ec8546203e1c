"""count_cases.py FOLDER…: how many test cases the runs in these test-results folders had, from the
reports that GoogleTest (*.json) and pytest (*.xml) left there. One number on standard output.

With --at-least FILE it is an error if there are fewer than FILE says: a test that no longer runs is
noticed. FILE is raised by hand when tests are added."""

import argparse
import json
import pathlib
import sys
import xml.etree.ElementTree


def cases_in(report):
    if report.suffix == ".json":
        suites = json.loads(report.read_text())["testsuites"]
        return sum(case["status"] == "RUN" for suite in suites for case in suite["testsuite"])
    suites = xml.etree.ElementTree.parse(report).getroot().iter("testsuite")
    return sum(int(suite.get("tests")) - int(suite.get("skipped")) for suite in suites)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="+", type=pathlib.Path)
    parser.add_argument("--at-least", type=pathlib.Path)
    arguments = parser.parse_args()
    n = sum(cases_in(report) for folder in arguments.folders for report in folder.iterdir()
            if report.suffix in (".json", ".xml"))
    print(n)
    if arguments.at_least and n < int(arguments.at_least.read_text()):
        sys.exit(f"{n} test cases ran, fewer than the {int(arguments.at_least.read_text())} of "
                 f"{arguments.at_least}")


if __name__ == "__main__":
    main()
