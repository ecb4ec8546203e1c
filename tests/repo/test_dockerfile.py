"""deploy/Dockerfile, checked without an image builder: it lints, what it copies is enough to
configure the builds, its packages exist and bring every library that the binaries load."""

import functools
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess

import pytest

from manifests import BIN, ROOT, TOOLS, WORKLOADS, Base, run

DOCKERFILE = ROOT / "deploy" / "Dockerfile"
PROGRAMS = ("lockstep", "lockstep-coordinator", "lockstep-node")
MODULE = "liblockstep_cuda.so"
OF_EVERY_DEBIAN = {"libc6", "libgcc-s1"}
BUILD_CALL = re.compile(r"&& build (\w+) (.*?) -- (.*)")
NVCC = shutil.which("nvcc")
BUILDS = ("build", "build-cuda")
IMAGES = ("cpu", "cuda")

each_image = pytest.mark.parametrize("image", IMAGES)


def instructions(text=DOCKERFILE.read_text()):
    """[(stage, instruction, arguments)], stages by name."""
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    found, stage = [], None
    for line in filter(None, lines.replace("\\\n", " ").split("\n")):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            stage = rest.split()[2]
        found.append((stage, word, " ".join(rest.split())))
    return found


def arguments(stage, word):
    return [rest for s, w, rest in instructions() if (s, w) == (stage, word)]


def origins():
    """{stage: the image or stage that it starts from}, in the order of the file."""
    return {s: rest.split(" AS ")[0] for s, word, rest in instructions() if word == "FROM"}


def copies(stage):
    """[(the stage or None, sources, destination)]"""
    found = []
    for rest in arguments(stage, "COPY"):
        origin = re.match(r"--from=(\S+) ", rest)
        *sources, destination = [w for w in rest.split() if not w.startswith("--")]
        found.append((origin and origin[1], sources, destination))
    return found


def part_in(stage):
    """All stages that take part in the build of this one, by way of FROM or COPY."""
    names = {origins()[stage], *(origin for origin, _, _ in copies(stage))} & origins().keys()
    return {stage}.union(*map(part_in, names))


def build_call(stage):
    """(CMake preset, targets, flags)"""
    (run_line,) = [r for r in arguments(stage, "RUN") if BUILD_CALL.search(r)]
    preset, targets, flags = BUILD_CALL.search(run_line).groups()
    return preset, targets.split(), flags.split()


def build_packages():
    code, out = run("bash", "-c", f"source {shlex.quote(str(ROOT))}/deploy/lib.sh; "
                                  'printf "%s\\n" "${build_packages[@]}"')
    assert code == 0
    return out.split()


def runtime_packages():
    (run_line,) = arguments("runtime", "RUN")
    (words,) = re.findall(r"apt-get install (.*?) &&", run_line)
    return {w for w in words.split() if not w.startswith("-")}


# Linting


def hadolint(tmp_path, *flags):
    """The codes that it reports; run where no configuration of ours or of the user's lies."""
    done = subprocess.run([TOOLS / "hadolint", *flags, "-f", "json", DOCKERFILE], cwd=tmp_path,
                          env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
                          capture_output=True, text=True)
    return {finding["code"] for finding in json.loads(done.stdout)}


def test_hadolint_finds_nothing(tmp_path):
    assert hadolint(tmp_path) == set()


def test_each_rule_that_is_ignored_is_broken_and_has_its_reason_above(tmp_path):
    lines = DOCKERFILE.read_text().splitlines()
    ignored = {}
    for above, line in zip(lines, lines[1:]):
        if match := re.fullmatch(r"# hadolint ignore=(\w+)", line):
            ignored[match.group(1)] = above
    assert all(re.match(r"# (?!hadolint ignore)\w+", above) for above in ignored.values())
    assert hadolint(tmp_path, "--disable-ignore-pragma") == set(ignored)


# Which stage takes what from which


def test_the_image_for_cpus_is_the_default_and_has_no_cuda():
    assert list(origins())[-1] == "cpu"
    assert part_in("cpu") == {"cpu", "runtime", "build", "source"}
    for stage in part_in("cpu"):
        text = " ".join(rest for s, _, rest in instructions() if s == stage)
        assert not re.search("nvidia|nvcc|nccl|toolkit", text, re.I), stage
    assert "-DLOCKSTEP_CUDA=OFF" in build_call("build")[2]


def test_the_image_for_gpus_is_the_same_with_cuda():
    assert part_in("cuda") == {"cuda", "runtime", "build-cuda", "toolkit", "source"}
    assert origins()["cuda"] == origins()["cpu"] and origins()["build-cuda"] == origins()["build"]
    assert build_call("build-cuda")[1] == build_call("build")[1]


def test_own_stages_start_from_the_debian_that_the_scripts_are_for():
    outside = {stage: image for stage, image in origins().items() if image not in origins()}
    toolkit = outside.pop("toolkit")
    assert outside == {"source": "debian:12-slim", "runtime": "debian:12-slim"}
    assert "Debian 12" in (ROOT / "deploy" / "lib.sh").read_text()
    assert re.fullmatch(r"nvidia/cuda:[\d.]+-devel-[\w.]+", toolkit)  # devel: with nvcc and nccl.h


# The build stages


def test_what_is_copied_is_in_the_tree():
    assert copies("source")
    tracked = set(run("git", "-C", ROOT, "ls-files")[1].split())
    for origin, sources, _ in copies("source"):
        assert origin is None
        for source in sources:
            assert any(name == source or name.startswith(source + "/") for name in tracked), source


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    """The files that the stage `source` copies, where it copies them."""
    root = tmp_path_factory.mktemp("src")
    for _, sources, destination in copies("source"):
        for source in map(pathlib.Path, sources):
            origin, target = ROOT / source, root / destination
            if origin.is_dir():
                shutil.copytree(origin, target, dirs_exist_ok=True)
            else:
                target.mkdir(parents=True, exist_ok=True)
                shutil.copy(origin, target)
    return root


def configure(context, stage, **paths):
    """(what CMake said, the build folder) of a build as in the stage, whose files `paths` replace."""
    preset, targets, flags = build_call(stage)
    for name, path in paths.items():
        (flag,) = [f for f in flags if f.startswith(f"-D{name}=")]
        flags[flags.index(flag)] = f"-D{name}={path}"
    code, out = run("bash", "-c", f"cd {shlex.quote(str(context))} && "
                    + shlex.join(["cmake", "--preset", preset, *flags]))
    assert code == 0, out
    build = context / ("build" if preset == "release" else f"build/{preset}")
    code, known = run("ninja", "-C", build, "-t", "targets", "all")
    assert code == 0 and [t for t in targets if f"\n{t}: phony" not in known] == []
    return out, known


def test_what_is_copied_is_enough_to_configure_the_build(context):
    _, known = configure(context, "build")
    assert MODULE not in known


def test_the_build_for_gpus_has_the_module_for_all_architectures_and_nccl(context, tmp_path):
    if NVCC is None:
        return
    nccl = tmp_path / "nccl"
    (nccl / "include").mkdir(parents=True)
    (nccl / "include" / "nccl.h").touch()
    out, known = configure(context, "build-cuda", CMAKE_CUDA_COMPILER=NVCC, NCCL_ROOT=nccl)
    assert re.search(r"CUDA compiler: \S+, for 80-real;89-real;90-real;100-real;120$", out, re.M)
    assert f"\nbin/{MODULE}: CXX_MODULE_LIBRARY_LINKER__lockstep_cuda_" in known
    (rules,) = (context / "build" / "cuda").glob("build.ninja")
    assert f"-isystem {nccl}/include" in rules.read_text()


def test_the_build_for_gpus_finds_what_it_copies_from_the_toolkit():
    version = re.search(r"nvidia/cuda:(\d+\.\d+)\.", origins()["toolkit"])[1]
    copied = {destination: source for _, (source,), destination in copies("build-cuda")}
    flags = build_call("build-cuda")[2]
    assert copied["/usr/local/cuda/"] == f"/usr/local/cuda-{version}"
    assert "-DCMAKE_CUDA_COMPILER=/usr/local/cuda/bin/nvcc" in flags
    assert copied["/opt/nccl/include/"] == "/usr/include/nccl.h"
    assert "-DNCCL_ROOT=/opt/nccl" in flags


def test_the_toolkit_is_the_one_that_the_kernels_are_tested_with():
    if NVCC is None:
        return
    here = re.search(r"release (\d+\.\d+)", run(NVCC, "--version")[1])[1]
    assert origins()["toolkit"].startswith(f"nvidia/cuda:{here}.")


def test_what_is_copied_holds_every_header_that_is_included(context):
    sources = [p for p in context.rglob("*") if p.suffix in {".h", ".cpp", ".cu", ".cuh"}
               and "build" not in p.relative_to(context).parts]
    assert sources
    missing = [f"{path.relative_to(context)}: {name}" for path in sources
               for name in re.findall(r'^\s*#include "([^"]+)"', path.read_text(), re.M)
               if not (context / name).is_file()]
    assert missing == []


def test_the_builds_install_what_the_scripts_install():
    runs = arguments("source", "RUN")
    assert runs == ['source deploy/lib.sh && install_apt "${build_packages[@]}"']
    for stage in BUILDS:  # one list of packages, lib.sh's
        assert not any("apt-get" in r for r in arguments(stage, "RUN"))


def test_every_package_exists():
    names = set(build_packages()) | runtime_packages()
    _, out = run("apt-cache", "show", "--no-all-versions", *sorted(names))
    assert names - set(re.findall(r"^Package: (\S+)$", out, re.M)) == set()


# The stages that run


@functools.cache
def owner(library):
    """The package that installed this file."""
    real = os.path.realpath(library)
    for path in (real, real.removeprefix("/usr")):  # as dpkg wrote it down, before /usr merged
        code, out = run("dpkg", "-S", path)
        if code == 0:
            return out.split(":")[0]
    raise AssertionError(f"no package owns {library}")


def loaded(program):
    """{library name: path} of all that the loader loads."""
    code, out = run("ldd", BIN / program)
    assert code == 0 and "not found" not in out, out
    return dict(re.findall(r"^\s*(\S+) => (\S+)", out, re.M))


def linked(program):
    """The libraries that the program itself names."""
    return set(re.findall(r"NEEDED.*\[(.*)\]", run("readelf", "-d", BIN / program)[1]))


def with_dependencies(names):
    status = run("dpkg-query", "-W", "-f", "${Package}\t${Pre-Depends}, ${Depends}\n")[1]
    depends = {}
    for line in status.splitlines():
        package, _, rest = line.partition("\t")
        depends.setdefault(package, set()).update(re.findall(r"(?:^|[,|])\s*([a-z0-9][^\s,|:(]*)",
                                                             rest))
    done, todo = set(), set(names)
    while todo:
        name = todo.pop()
        done.add(name)
        todo |= depends.get(name, set()) - done
    return done


def test_the_packages_are_those_of_the_libraries_that_the_programs_name():
    libraries = {path for p in PROGRAMS for name, path in loaded(p).items() if name in linked(p)}
    assert libraries
    assert runtime_packages() == {owner(path) for path in libraries} - OF_EVERY_DEBIAN


def test_the_packages_bring_every_library_that_is_loaded():
    installed = with_dependencies(runtime_packages())
    libraries = sorted({path for p in PROGRAMS for path in loaded(p).values()})
    assert len(libraries) > len(runtime_packages())
    assert [path for path in libraries if owner(path) not in installed] == []


def test_the_module_needs_no_other_package():
    """Neither the toolkit's libraries, since the run-time library is inside, nor the driver's."""
    if not (BIN / MODULE).exists():
        return
    installed = with_dependencies(runtime_packages())
    libraries = [path for name, path in loaded(MODULE).items() if name in linked(MODULE)]
    assert libraries and {owner(path) for path in libraries} <= installed


@each_image
def test_the_image_holds_the_programs_that_were_built_and_the_pods_start(image):
    build = dict(zip(IMAGES, BUILDS))[image]
    ((sources, destination),) = [(s, d) for origin, s, d in copies(image) if origin == build]
    preset, targets, _ = build_call(build)
    (workdir,) = arguments("source", "WORKDIR")
    folder = f"{workdir}/build/bin" if preset == "release" else f"{workdir}/build/{preset}/bin"
    # The programs look for the module in their own folder.
    files = [*PROGRAMS, MODULE] if image == "cuda" else PROGRAMS
    assert sources == [f"{folder}/{name}" for name in files] and destination == "/usr/local/bin/"
    assert sorted(targets) == sorted(PROGRAMS)
    base = Base()
    assert {base.container(w)["command"][0] for w in WORKLOADS} <= set(PROGRAMS)


def test_nccl_lies_where_the_loader_looks_without_its_cache():
    ((sources, destination),) = [(s, d) for origin, s, d in copies("cuda") if origin == "toolkit"]
    code, out = run("/lib64/ld-linux-x86-64.so.2", "--help")
    folders = re.findall(r"^  (\S+) \(system search path\)$", out, re.M)
    assert code == 0 and os.path.dirname(destination) in folders
    assert os.path.basename(destination) == os.path.basename(sources[0]) == "libnccl.so.2"


def test_the_host_gives_the_image_for_gpus_its_driver_and_nvml():
    assert arguments("cuda", "ENV") == ["NVIDIA_DRIVER_CAPABILITIES=compute,utility"]
    assert arguments("cpu", "ENV") == arguments("runtime", "ENV") == []


def test_the_images_run_as_the_user_of_the_pods():
    base = Base()
    (user,) = [rest for _, word, rest in instructions() if word == "USER"]
    assert arguments("runtime", "USER") == [user]
    for which in WORKLOADS:
        context = base.pod(which)["spec"]["securityContext"]
        assert user == f"{context['runAsUser']}:{context['runAsGroup']}"
