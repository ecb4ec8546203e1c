"""The include graph of ARCHITECTURE.md: layers, rooms (folders with sources) and headers.

A new edge between layers turns a test red, and so does a header that another room includes without
being open in tests/repo/rooms.py. tests/ and bench/ may include anything.
"""

import collections
import pathlib
import re
import subprocess

import rooms

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOPS = ("common", "kernels", "parallel", "wire", "node", "coordinator", "clients")

# layer -> layers it may include, beside itself.
ALLOWED = {
    "common": set(),
    "common/text": set(),
    "common/service": {"common", "common/text"},
    "kernels": {"common"},
    "parallel": {"common", "kernels"},
    "wire": {"common", "common/text"},
    "node/text": {"common", "common/text"},
    "node/kv": {"common"},
    "node/step": {"common", "kernels"},
    "node/model": {"common", "kernels", "parallel", "node/text", "node/kv", "node/step"},
    "node/engine": {"common", "node/text", "node/kv", "node/step"},
    "node/service": {"common", "common/text", "common/service", "parallel", "wire", "node/text",
                     "node/kv", "node/model", "node/engine"},
    "node": {"common", "common/service", "node/service"},
    "coordinator": {"common", "common/text", "common/service", "wire", "node/text"},
    "clients/cpp": {"common", "wire"},
    "clients/cli": {"common", "common/service", "wire", "clients/cpp", "node/text", "node/kv",
                    "node/model", "node/engine", "node/service", "coordinator"},
}
# The two classes of node/kv that know bytes, and with them the kernels.
EXTRA = {f"node/kv/{name}.{suffix}": {"kernels"}
         for name in ("block_store", "host/host_block_store") for suffix in ("h", "cpp")}
# Built with the standard library (and CUDA) alone.
STD_ONLY = ("common", "kernels", "parallel", "node/kv", "node/step", "node/engine")
LIBRARIES = re.compile(
    r"#include <(boost|zmq|nlohmann|CLI|spdlog|fmt|yaml-cpp|prometheus|pcre2|xxhash|utf8)")


def layer_of(path):
    parts = path.split("/")
    if parts[0] in ("node", "clients") and len(parts) > 2:
        return "/".join(parts[:2])
    if path.startswith(("common/service/", "common/text/")):
        return "/".join(parts[:2])
    return parts[0]


def room_of(path):
    return path.rpartition("/")[0]


def tracked():
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", *TOPS], cwd=ROOT,
                         capture_output=True, text=True, check=True)
    return sorted(name for name in set(out.stdout.split()) if (ROOT / name).is_file())


SOURCES = [path for path in tracked() if path.endswith((".h", ".cpp", ".cu", ".cuh"))]
INCLUDES = {path: re.findall(r'^\s*#include "([^"]+)"', (ROOT / path).read_text(), re.M)
            for path in SOURCES}
EDGES = [(path, header) for path, headers in INCLUDES.items() for header in headers]
CROSSINGS = [(path, header) for path, header in EDGES if room_of(path) != room_of(header)]


def cycle_in(edges):
    """The nodes of one cycle of a graph, in order; [] if there is none."""
    graph = collections.defaultdict(set)
    for a, b in edges:
        graph[a].add(b)
    done, path = set(), []

    def visit(node):
        if node in path:
            return path[path.index(node):] + [node]
        if node in done:
            return []
        path.append(node)
        found = next((cycle for to in sorted(graph[node]) if (cycle := visit(to))), [])
        path.pop()
        done.add(node)
        return found

    return next((cycle for node in sorted(graph) if (cycle := visit(node))), [])


def test_every_include_is_an_allowed_edge():
    bad = [edge for edge in EDGES
           if layer_of(edge[1]) not in
           ALLOWED[layer_of(edge[0])] | {layer_of(edge[0])} | EXTRA.get(edge[0], set())]
    assert bad == []


def test_includes_are_rooted_and_exist():
    assert [edge for edge in EDGES if not (ROOT / edge[1]).is_file()] == []


def test_the_engine_is_built_with_the_standard_library_alone():
    bad = [path for path in SOURCES
           if layer_of(path) in STD_ONLY and LIBRARIES.search((ROOT / path).read_text())]
    assert bad == []


def test_the_gpu_check_is_built_with_the_standard_library_alone():
    """deploy/gpu_check.sh runs where there is no Boost, no ZeroMQ and no GoogleTest."""
    allowed = {"common", "kernels", "parallel", "bench"}
    for path in sorted((ROOT / "bench" / "gpu").glob("*.[hc]*")):
        text = path.read_text()
        assert not LIBRARIES.search(text) and "gtest" not in text, path
        includes = re.findall(r'^\s*#include "([^"]+)"', text, re.M)
        assert {include.split("/")[0] for include in includes} <= allowed, path


def test_no_room_includes_a_header_of_another_that_is_not_open():
    bad = [(path, header) for path, header in CROSSINGS
           if pathlib.Path(header).stem not in rooms.OPEN.get(room_of(header), "").split()]
    assert bad == []


def test_every_open_header_is_included_by_another_room():
    used = {(room_of(header), pathlib.Path(header).stem) for _, header in CROSSINGS}
    assert [(room, header) for room, headers in rooms.OPEN.items() for header in headers.split()
            if (room, header) not in used] == []


def test_a_room_with_more_than_three_open_headers_says_what_holds_them_together():
    assert [room for room, headers in rooms.FEW.items() if len(headers.split()) > 3] == []
    assert [room for room, (reason, headers) in rooms.MANY.items()
            if len(headers.split()) <= 3 or not re.fullmatch(r"[A-Z].{20,}\.", reason)] == []


def test_no_arrow_leads_back_between_rooms():
    assert cycle_in((room_of(path), room_of(header)) for path, header in CROSSINGS) == []


def test_headers_form_no_cycle():
    assert cycle_in(EDGES) == []


def test_every_folder_holds_sources_or_folders_that_do():
    folders = {parent.as_posix() for path in tracked() for parent in pathlib.Path(path).parents}
    with_sources = {parent.as_posix() for path in SOURCES for parent in pathlib.Path(path).parents}
    assert {f for f in folders - with_sources if not f.startswith("clients/python")} == set()
