"""bench/prefix_reuse.py on a tiny model: what a shared system prompt saves is what it can save."""

import json
import pathlib
import subprocess
import sys

from processes import BIN, TINY

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "bench" / "prefix_reuse.py"


def prefix_reuse(model, *arguments):
    done = subprocess.run([sys.executable, SCRIPT, "--lockstep", BIN / "lockstep", "--model", model,
                           *arguments], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_nearly_all_that_a_shared_system_prompt_can_save_is_saved():
    found = prefix_reuse(TINY / "tiny-9-q8_0.gguf", "--clients", "8", "--requests", "6",
                         "--system-tokens", "128", "--suffix-tokens", "16", "--first-id", "8",
                         "--last-id", "500")
    assert found["requests"] == 48 and 0.95 <= found["ratio"] <= 1.02, found
