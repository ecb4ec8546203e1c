"""What the built binaries and libraries may contain."""

import os
import pathlib
import re
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


def needed(path):
    """The libraries that the dynamic linker must find before the program or library can start."""
    out = subprocess.run(["readelf", "-d", str(path)], capture_output=True, text=True, check=True)
    return re.findall(r"\(NEEDED\).*\[(.+)\]", out.stdout)


def test_nothing_links_cuda_or_nccl():
    """A CPU pod carries none of it; the module brings its own run-time library and looks for the
    driver and NCCL when it is asked for a device."""
    programs = [BIN / name for name in ("lockstep", "lockstep-node", "lockstep-coordinator",
                                        "lockstep-gpu-check")]
    for path in programs + list(BIN.glob("*.so")):
        names = needed(path)
        assert "libc.so.6" in names
        assert not [n for n in names if re.search("cuda|cublas|nccl|nvidia", n)], (path.name, names)


def test_the_module_shows_its_entries_and_hides_the_rest():
    for path in BIN.glob("liblockstep_cuda.so"):
        shown = [line.split()[-1] for line in symbols(path, "-D", "--defined-only")
                 if line.split()[1] == "T"]
        assert {"lockstep_cuda_abi", "lockstep_cuda_list_devices"} <= set(shown)
        assert [name for name in shown if not name.startswith("lockstep_")] == []


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
