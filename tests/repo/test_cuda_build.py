"""What CMake makes of a machine with and without a CUDA compiler. Configures only; builds nothing."""

import os
import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def configure(folder, *arguments, **environment):
    """CMake's output for a small configuration: kernels and the GPU check alone."""
    run = subprocess.run(["cmake", "-S", str(ROOT), "-B", str(folder), "-G", "Ninja",
                          "-DLOCKSTEP_GPU_CHECK_ONLY=ON", *arguments],
                         capture_output=True, text=True, env=dict(os.environ, **environment))
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout + run.stderr


def targets(folder):
    out = subprocess.run(["ninja", "-C", str(folder), "-t", "targets", "all"], capture_output=True,
                         text=True, check=True)
    return out.stdout


def path_without(program, tmp_path):
    """PATH, with a folder of links to everything else in the place of each that has the program."""
    folders = []
    for i, folder in enumerate(map(pathlib.Path, os.environ["PATH"].split(os.pathsep))):
        if (folder / program).exists():
            links = tmp_path / f"path{i}"
            links.mkdir()
            for entry in folder.iterdir():
                if entry.name != program:
                    (links / entry.name).symlink_to(entry)
            folder = links
        folders.append(str(folder))
    return os.pathsep.join(folders)


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
