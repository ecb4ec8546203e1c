"""The resources of the CUDA kernels do not grow unseen: the built module against the committed
table (bench/gpu/kernel_resources.py)."""

import os
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench" / "gpu"))

import kernel_resources  # noqa: E402

MODULE = pathlib.Path(os.environ["LOCKSTEP_BIN"]) / "liblockstep_cuda.so"


def why_not_measured():
    """Why this machine cannot measure what the table holds, or None."""
    version, _ = kernel_resources.parse(kernel_resources.TABLE.read_text())
    if not MODULE.exists():
        return "this build has no CUDA module"
    if not all(map(kernel_resources.find_tool, ("cuobjdump", "nvdisasm"))):
        return "cuobjdump and nvdisasm are not installed"
    if kernel_resources.nvcc_version() != version:
        return f"the table is of nvcc {version}"
    return None


def test_no_kernel_needs_more_than_the_table_says():
    if reason := why_not_measured():
        pytest.skip(f"kernel resources are not compared: {reason}")
    _, before = kernel_resources.parse(kernel_resources.TABLE.read_text())
    worse = list(kernel_resources.grown(before, kernel_resources.measure(MODULE)))
    assert worse == [], "if that is meant: bench/gpu/kernel_resources.py --write"


def test_growth_of_more_than_five_percent_is_found():
    before = {"a<1>": (100, 1000, 0, 200, 8), "b": (10, 0, 0, 20, 0)}
    assert list(kernel_resources.grown(before, before)) == []
    assert list(kernel_resources.grown(before, {**before, "b": (9, 0, 0, 20, 0)})) == []
    assert list(kernel_resources.grown(before, {**before, "a<1>": (105, 1050, 0, 210, 4)})) == []
    assert list(kernel_resources.grown(before, {**before, "a<1>": (106, 1051, 8, 211, 8)})) == [
        "a<1>: registers 100 -> 106", "a<1>: shared 1000 -> 1051", "a<1>: stack 0 -> 8",
        "a<1>: loop 200 -> 211"]
    assert list(kernel_resources.grown(before, {"b": before["b"], "c": before["b"]})) == [
        "c is not in the table", "a<1> is in the table but not in the module"]


def test_the_table_reads_back_as_it_was_written():
    kernels = {"a<Q8_0, 1>": (100, 1000, 0, 200, 8), "b": (10, 0, 0, 20, 0)}
    assert kernel_resources.parse(kernel_resources.text_of(kernels))[1] == kernels


SASS = """
\t\tFunction : f
        /*0000*/                   MOV R1, c[0x0][0x28] ;  /* 0x00 */
        /*0010*/                   IMMA.16832.S8.S8 R4, R4.ROW, R8.COL, R12 ;
        /*0020*/                   LDS R3, [R2] ;
        /*0030*/              @!P0 BRA 0x20 ;
        /*0040*/                   HMMA.16816.F32 R4, R4, R8, R4 ;
        /*0050*/               @P0 BRA 0x40 ;
        /*0060*/               @P1 BRA 0x10 ;
        /*0070*/                   EXIT ;
        /*0080*/                   BRA 0x80 ;
"""


def test_the_inner_loop_is_the_one_with_tensor_instructions():
    code = kernel_resources.instructions_of(SASS)["f"]
    assert len(code) == 9
    assert kernel_resources.inner_loop(code) == (2, 1)
    assert kernel_resources.inner_loop(code[:4]) == (2, 0)
    assert kernel_resources.inner_loop(code[:3]) == (0, 0)
