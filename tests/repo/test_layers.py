"""The include layers of ARCHITECTURE.md: who may include whom. A new edge turns this red."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]

# layer -> layers it may include, beside itself.
NODE_LOW = {"common", "node/text", "node/kv"}
ALLOWED = {
    "common": set(),
    "common/service": {"common"},
    "kernels": {"common"},
    "parallel": {"common", "kernels"},
    "wire": {"common"},
    "node/text": {"common"},
    "node/kv": {"common"},
    "node/model": NODE_LOW | {"kernels", "parallel"},
    "node/engine": NODE_LOW | {"node/model"},
    "node/service": NODE_LOW | {"node/model", "node/engine", "wire", "common/service"},
    "node": {"common", "common/service", "node/service"},
    "coordinator": {"common", "common/service", "wire"},
    "clients/cpp": {"common", "wire"},
    "clients/cli": {"common", "common/service", "wire", "clients/cpp", "node/text", "node/kv",
                    "node/model", "node/engine", "node/service", "coordinator"},
}
# The one file of node/kv that knows bytes, and with them the kernels.
EXTRA = {"node/kv/block_store.h": {"kernels"}, "node/kv/block_store.cpp": {"kernels"}}
# Built with the standard library (and CUDA) alone.
STD_ONLY = ("common", "kernels", "parallel", "node/kv", "node/engine")
LIBRARIES = re.compile(r'#include <(boost|zmq|nlohmann|CLI|spdlog|fmt|yaml-cpp|prometheus|pcre2|xxhash)')
INCLUDE = re.compile(r'^\s*#include "([^"]+)"', re.M)


def layer_of(path: str) -> str:
    parts = path.split("/")
    if parts[0] in ("node", "clients") and len(parts) > 2:
        return "/".join(parts[:2])
    if parts[0] == "common" and len(parts) > 2:
        return "common/service"
    return parts[0]


def sources():
    for top in ("common", "kernels", "parallel", "wire", "node", "coordinator", "clients"):
        for path in sorted((ROOT / top).rglob("*")):
            if path.suffix in (".h", ".cpp", ".cu", ".cuh"):
                yield path.relative_to(ROOT).as_posix(), path.read_text()


def violations():
    for path, text in sources():
        allowed = ALLOWED[layer_of(path)] | {layer_of(path)} | EXTRA.get(path, set())
        for include in INCLUDE.findall(text):
            if layer_of(include) not in allowed:
                yield f"{path} includes {include}"


def test_every_include_is_an_allowed_edge():
    assert list(violations()) == []


def test_includes_are_rooted_and_exist():
    bad = [f"{path}: {include}" for path, text in sources() for include in INCLUDE.findall(text)
           if not (ROOT / include).is_file()]
    assert bad == []


def test_the_engine_is_built_with_the_standard_library_alone():
    bad = [path for path, text in sources()
           if layer_of(path) in STD_ONLY and LIBRARIES.search(text)]
    assert bad == []


def test_the_gpu_check_is_built_with_the_standard_library_alone():
    """deploy/gpu_check.sh runs where there is no Boost, no ZeroMQ and no GoogleTest."""
    allowed = {"common", "kernels", "bench"}
    for path in sorted((ROOT / "bench" / "gpu").glob("*.[hc]*")):
        text = path.read_text()
        assert not LIBRARIES.search(text) and "gtest" not in text, path
        assert {include.split("/")[0] for include in INCLUDE.findall(text)} <= allowed, path


def test_headers_form_no_cycle():
    edges = {path: [i for i in INCLUDE.findall(text)] for path, text in sources()}
    done, stack = set(), []

    def visit(path):
        assert path not in stack, " -> ".join(stack[stack.index(path):] + [path])
        if path in done:
            return
        stack.append(path)
        for include in edges.get(path, []):
            visit(include)
        stack.pop()
        done.add(path)

    for path in edges:
        visit(path)
