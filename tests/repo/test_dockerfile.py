"""deploy/Dockerfile, checked without an image builder: it lints, what it copies is enough to
configure the build, its packages exist and bring every library that the binaries load."""

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
OF_EVERY_DEBIAN = {"libc6", "libgcc-s1"}
BUILD_CALL = re.compile(r"&& build release (.*?) -- (.*)")


def instructions(text=DOCKERFILE.read_text()):
    """[(stage, instruction, arguments)], stages counted from 0."""
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    found, stage = [], -1
    for line in filter(None, lines.replace("\\\n", " ").split("\n")):
        word, _, rest = line.partition(" ")
        stage += word == "FROM"
        found.append((stage, word, " ".join(rest.split())))
    return found


def arguments(stage, word):
    return [rest for s, w, rest in instructions() if (s, w) == (stage, word)]


def copies(stage):
    """[(sources, destination)], options dropped."""
    words = [[w for w in rest.split() if not w.startswith("--")]
             for rest in arguments(stage, "COPY")]
    return [(w[:-1], w[-1]) for w in words]


def build_call():
    (run_line,) = [r for r in arguments(0, "RUN") if BUILD_CALL.search(r)]
    targets, flags = BUILD_CALL.search(run_line).groups()
    return targets.split(), flags.split()


def build_packages():
    code, out = run("bash", "-c", f"source {shlex.quote(str(ROOT))}/deploy/lib.sh; "
                                  'printf "%s\\n" "${build_packages[@]}"')
    assert code == 0
    return out.split()


def runtime_packages():
    (run_line,) = arguments(1, "RUN")
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


# The build stage


def test_what_is_copied_is_in_the_tree():
    assert copies(0)
    tracked = set(run("git", "-C", ROOT, "ls-files")[1].split())
    for sources, _ in copies(0):
        for source in sources:
            assert any(name == source or name.startswith(source + "/") for name in tracked), source


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    """The files that the build stage copies, where it copies them."""
    root = tmp_path_factory.mktemp("src")
    for sources, destination in copies(0):
        for source in map(pathlib.Path, sources):
            origin, target = ROOT / source, root / destination
            if origin.is_dir():
                shutil.copytree(origin, target, dirs_exist_ok=True)
            else:
                target.mkdir(parents=True, exist_ok=True)
                shutil.copy(origin, target)
    return root


def test_what_is_copied_is_enough_to_configure_the_build(context):
    targets, flags = build_call()
    done = subprocess.run(["cmake", "--preset", "release", *flags], cwd=context,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    code, out = run("ninja", "-C", context / "build", "-t", "targets", "all")
    assert code == 0
    assert [t for t in targets if f"\n{t}: phony" not in out] == []


def test_what_is_copied_holds_every_header_that_is_included(context):
    sources = [p for p in context.rglob("*") if p.suffix in {".h", ".cpp", ".cu", ".cuh"}
               and "build" not in p.relative_to(context).parts]
    assert sources
    missing = [f"{path.relative_to(context)}: {name}" for path in sources
               for name in re.findall(r'^\s*#include "([^"]+)"', path.read_text(), re.M)
               if not (context / name).is_file()]
    assert missing == []


def test_the_build_stage_installs_what_the_scripts_install():
    runs = arguments(0, "RUN")
    assert 'source deploy/lib.sh && install_apt "${build_packages[@]}"' in runs
    assert not any("apt-get" in r for r in runs)  # one list of packages, lib.sh's


def test_every_package_exists():
    names = set(build_packages()) | runtime_packages()
    _, out = run("apt-cache", "show", "--no-all-versions", *sorted(names))
    assert names - set(re.findall(r"^Package: (\S+)$", out, re.M)) == set()


# The stage that runs


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


def test_the_image_holds_the_programs_that_were_built_and_the_pods_start():
    ((sources, destination),) = copies(1)
    assert arguments(1, "COPY")[0].startswith("--from=build ")
    targets, _ = build_call()
    (workdir,) = arguments(0, "WORKDIR")
    assert sources == [f"{workdir}/build/bin/{p}" for p in PROGRAMS]
    assert sorted(targets) == sorted(PROGRAMS) and destination == "/usr/local/bin/"
    base = Base()
    assert {base.container(w)["command"][0] for w in WORKLOADS} <= set(PROGRAMS)


def test_the_image_runs_as_the_user_of_the_pods():
    base = Base()
    (user,) = arguments(1, "USER")
    for which in WORKLOADS:
        context = base.pod(which)["spec"]["securityContext"]
        assert user == f"{context['runAsUser']}:{context['runAsGroup']}"


def test_both_stages_start_from_the_debian_that_the_scripts_are_for():
    images = [rest.split()[0] for _, word, rest in instructions() if word == "FROM"]
    assert images == ["debian:12-slim"] * 2
    assert "Debian 12" in (ROOT / "deploy" / "lib.sh").read_text()
