"""What the built binaries and libraries may contain."""

import os
import pathlib
import subprocess

BIN = pathlib.Path(os.environ["LOCKSTEP_BIN"])
BUILD = BIN.parent
TRANSCENDENTAL = {"exp", "expf", "exp2", "exp2f", "log", "logf", "log2", "log2f", "pow", "powf",
                  "sin", "sinf", "cos", "cosf", "tanh", "tanhf", "erf", "erff", "sincos", "sincosf"}


def symbols(path, *flags):
    out = subprocess.run(["nm", "-C", *flags, str(path)], capture_output=True, text=True, check=True)
    return out.stdout.splitlines()


def test_the_coordinator_links_no_kernels():
    names = symbols(BIN / "lockstep-coordinator")
    assert not [n for n in names if "lockstep::linear(" in n or "lockstep::attention(" in n]
    linked = subprocess.run(["ldd", str(BIN / "lockstep-coordinator")], capture_output=True,
                            text=True, check=True).stdout
    assert "cuda" not in linked and "nccl" not in linked


def test_the_kernels_call_no_libm_transcendentals():
    """The order and rounding of exp and log are the contract's, not the C library's."""
    library = BUILD / "kernels" / "liblockstep_kernels.a"
    used = {line.split()[-1].split("@")[0] for line in symbols(library, "-u") if line.strip()}
    assert used & TRANSCENDENTAL == set()


def test_binaries_say_their_version():
    for name in ("lockstep", "lockstep-node", "lockstep-coordinator"):
        out = subprocess.run([str(BIN / name), "--version"], capture_output=True, text=True,
                             check=True).stdout
        assert out == f"{name} 0.1.0\n"
