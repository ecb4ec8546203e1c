"""What deploy/quickstart.sh prints to try: each command is run by a shell as it stands."""

import pathlib
import shlex
import subprocess
import sys

import pytest
from processes import TINY, cluster

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tiny():
    with cluster(TINY / "tiny-9-q8_0.gguf", node_flags=["--max-model-len", "64"]) as c:
        yield c


def bash(script):
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def printed(name, *arguments):
    return bash(f"source deploy/examples.sh; {name} {shlex.join(map(str, arguments))}")


def test_the_curl_command_streams_an_answer(tiny):
    out = bash(printed("curl_example", f"127.0.0.1:{tiny.http}", "m"))
    assert out.count("data: {") > 1 and "data: [DONE]" in out


def test_the_client_of_this_tree_streams_an_answer(tiny):
    assert bash(printed("client_example", tiny.zmq, "m", sys.executable, ROOT)).strip()


def test_the_openai_package_gets_an_answer(tiny):
    out = bash(printed("openai_example", f"127.0.0.1:{tiny.http}", "m", sys.executable))
    assert out.strip()
