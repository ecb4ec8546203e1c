"""The client in docs/wire-protocol.md is run as it stands there, but for the endpoint."""

import pathlib
import re
import subprocess
import sys

from processes import TINY, cluster

PROTOCOL = pathlib.Path(__file__).resolve().parents[2] / "docs" / "wire-protocol.md"
ENDPOINT = "tcp://127.0.0.1:5555"


def test_the_documented_client_gets_an_answer():
    program = re.search(r"^```python\n(.*?)^```", PROTOCOL.read_text(), re.M | re.S).group(1)
    assert program.count(f'"{ENDPOINT}"') == 1
    with cluster(TINY / "tiny-9-q8_0.gguf", node_flags=["--max-model-len", "512"]) as c:
        run = subprocess.run([sys.executable, "-c", program.replace(ENDPOINT, c.zmq)],
                             capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    last = run.stdout.splitlines()[-1]
    assert "'type': 'done'" in last and "'completion_tokens': " in last, run.stdout
