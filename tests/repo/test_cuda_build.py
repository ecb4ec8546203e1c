"""CMake on a machine with and without a CUDA compiler. The tests configure, and build nothing."""

import os
import pathlib
import re
import shutil
import subprocess

from search_path import path_without

ROOT = pathlib.Path(__file__).resolve().parents[2]


def try_configure(folder, *arguments, source=ROOT, **environment):
    return subprocess.run(["cmake", "-S", str(source), "-B", str(folder), "-G", "Ninja",
                           *arguments],
                          capture_output=True, text=True, env=dict(os.environ, **environment))


def configure_all(folder, *arguments, **environment):
    """CMake's output for all of it."""
    run = try_configure(folder, *arguments, **environment)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout + run.stderr


def configure(folder, *arguments, **environment):
    """CMake's output for a small configuration: kernels and the GPU check alone."""
    return configure_all(folder, "-DLOCKSTEP_GPU_CHECK_ONLY=ON", *arguments, **environment)


def targets(folder):
    out = subprocess.run(["ninja", "-C", str(folder), "-t", "targets", "all"], capture_output=True,
                         text=True, check=True)
    return out.stdout


def test_without_nvcc_the_rest_is_built_and_one_line_says_so(tmp_path):
    build = tmp_path / "build"
    output = configure(build, PATH=path_without("nvcc", tmp_path), CUDACXX="")
    said = [line for line in output.splitlines() if "CUDA module" in line]
    assert said == ["-- no CUDA compiler; building without the CUDA module"]
    assert "lockstep-gpu-check" in targets(build)
    assert "liblockstep_cuda" not in targets(build)


def test_it_can_be_left_out(tmp_path):
    output = configure(tmp_path, "-DLOCKSTEP_CUDA=OFF")
    assert "building without the CUDA module" in output
    assert "liblockstep_cuda" not in targets(tmp_path)


def test_with_nvcc_the_module_is_part_of_the_build(tmp_path):
    if shutil.which("nvcc") is None:
        return  # the test above has seen what this machine does
    output = configure(tmp_path, "-DCMAKE_CUDA_ARCHITECTURES=90")
    assert "CUDA compiler: " in output
    assert "liblockstep_cuda.so" in targets(tmp_path)


def test_architectures_that_are_no_numbers_are_refused_in_words(tmp_path):
    if shutil.which("nvcc") is None:
        return
    for name in ("native", "all-major", "90a"):
        run = try_configure(tmp_path / name, "-DLOCKSTEP_GPU_CHECK_ONLY=ON",
                            f"-DCMAKE_CUDA_ARCHITECTURES={name}")
        assert run.returncode != 0
        assert f'CMAKE_CUDA_ARCHITECTURES is "{name}": name them by number' in " ".join(
            run.stderr.split()), run.stderr
    output = configure(tmp_path / "numbers", "-DCMAKE_CUDA_ARCHITECTURES=90-real;100-virtual")
    assert "for 90-real;100-virtual" in output


def abi(build):
    """The version that the program and its module compare."""
    rules = (build / "build.ninja").read_text()
    return set(re.findall(r'LOCKSTEP_CUDA_ABI=\\?"?([0-9a-f]{32})', rules))


def test_a_header_of_either_side_changes_the_version_of_the_module(tmp_path):
    """Also one whose types only cross the border: the ledger of a Device, what load() returns."""
    tree = tmp_path / "tree"
    for part in ("CMakeLists.txt", "common", "kernels", "parallel", "bench"):
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        tree.mkdir(exist_ok=True)
        copy(ROOT / part, tree / part)
    arguments = ("-DLOCKSTEP_GPU_CHECK_ONLY=ON", "-DLOCKSTEP_CUDA=OFF")
    seen = []
    for header in (None, "common/result.h", "common/memory/ledger.h", "kernels/ops.h",
                   "kernels/cuda/device/bench_entries.h", "parallel/nccl/nccl_group.h"):
        if header:
            with open(tree / header, "a") as file:
                file.write("// changed\n")
        configure_all(tmp_path / "build", *arguments, source=tree)
        version = abi(tmp_path / "build")
        assert len(version) == 1 and version.isdisjoint(seen), (header, version)
        seen += version


def test_all_of_it_is_configured_without_cuda(tmp_path):
    output = configure_all(tmp_path, "-DLOCKSTEP_CUDA=OFF")
    assert "no CUDA compiler; building without the CUDA module" in output
    names = targets(tmp_path)
    assert "bin/lockstep-node:" in names and "tests/cuda_emulation_test:" in names
    assert "liblockstep_cuda.so" not in names


def test_without_nccl_h_the_communicator_is_left_out_and_one_line_says_so(tmp_path):
    # Not -NOTFOUND, upon which CMake would search again.
    output = configure_all(tmp_path, "-DLOCKSTEP_CUDA=OFF", "-DLOCKSTEP_NCCL_INCLUDE=OFF")
    said = [line for line in output.splitlines() if "nccl.h" in line]
    assert said == ["-- no nccl.h; building without the NCCL communicator"]
    assert "nccl_test" not in targets(tmp_path)
