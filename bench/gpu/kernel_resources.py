"""What the CUDA kernels cost: registers, shared memory, stack and SASS instructions of inner loops,
read from liblockstep_cuda.so as it was built for compute capability 9.0.

    bench/gpu/kernel_resources.py [--module FILE] [--write]

prints the table of kernel_resources.md, or writes that file. tests/repo/test_kernel_resources.py
compares the file with the built module. Needs the PyPI packages nvidia-cuda-cuobjdump and
nvidia-cuda-nvdisasm; the module itself does not compile if a kernel spills a register.
"""

import argparse
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
TABLE = pathlib.Path(__file__).with_name("kernel_resources.md")
ARCHITECTURE = "sm_90"
GROWTH = 1.05  # what a number may grow to without a new table
# WeightType and DType of a template's arguments; kernels/layout/packed_weights.h, kernels/view.h.
ENUMERATORS = {
    "WeightType": "F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q4_K Q5_K Q6_K".split(),
    "DType": "F32 F16 BF16 I32 U8 Q8_0 K16V8 K16V16".split(),
}
NOT_SERVING = "lockstep::gpu_bench::"  # kernels/cuda/bench, which measures the GPU itself
COLUMNS = ("registers", "shared", "stack", "loop", "tensor")

HEADER = """# Resources of the CUDA kernels

Written by `bench/gpu/kernel_resources.py --write` from the module that nvcc {version} compiled for
compute capability 9.0; `tests/repo/test_kernel_resources.py` fails when a number grows by more than
5 %. No kernel spills registers: the module would not compile.

Registers are of one thread. Shared memory (1 KiB of it is CUDA's own) and stack (arrays of one
thread that are left to local memory) are in bytes. *Loop* is the number of instructions in a
kernel's inner loop, *tensor* how many of them are of the tensor cores. The inner loop is the one
with the most tensor core instructions, or without any the longest; loops that contain others do not
count.

One tensor core instruction of `linear` multiplies a block of 16 rows x 32 values (544 bytes of
Q8_0) by 8 tokens; Q6_K has two for it, of 16 values each. So `skinny<…, 1>` spends loop / tensor
instructions, of Q6_K twice as many, on a block for up to 8 tokens. The loop of `tiled` is one tile
of 32 rows x 32 tokens x 32 values: what two blocks cost for 32 tokens, or one block for 64. Its
ninth warp, which only copies, has a loop of its own.

| kernel | registers | shared | stack | loop | tensor |
|---|--:|--:|--:|--:|--:|
"""


def find_tool(name):
    """The program in this Python's packages, or on PATH."""
    for folder in map(pathlib.Path, sys.path):
        for path in folder.glob(f"nvidia/*/bin/{name}"):
            return path
    found = shutil.which(name)
    return pathlib.Path(found) if found else None


def dump(module, option):
    cuobjdump = find_tool("cuobjdump")
    folders = f"{find_tool('nvdisasm').parent}:{cuobjdump.parent}"
    run = subprocess.run([cuobjdump, option, "-arch", ARCHITECTURE, module], capture_output=True,
                         text=True, check=True, env={"PATH": f"{folders}:/usr/bin:/bin"})
    return run.stdout


def readable(symbols):
    """symbol -> "tiled<Q8_0, 4>"."""
    out = subprocess.run(["c++filt"], input="\n".join(symbols), capture_output=True, text=True,
                         check=True).stdout.splitlines()
    names = {}
    for symbol, name in zip(symbols, out, strict=True):
        name = name.removeprefix("void ").replace("(anonymous namespace)::", "")
        name = re.sub(r"\((?:\w+::)*(\w+)\)(\d+)",
                      lambda m: ENUMERATORS[m[1]][int(m[2])] if m[1] in ENUMERATORS else m[2], name)
        names[symbol] = re.sub(r"\(.*", "", name.replace("lockstep::cuda::", ""))
    return names


def instructions_of(sass):
    """symbol -> [(address, text of the instruction)]."""
    functions, here = {}, None
    for line in sass.splitlines():
        if found := re.search(r"Function : (\S+)", line):
            here = functions.setdefault(found[1], [])
        elif found := re.match(r"\s+/\*([0-9a-f]{4,5})\*/\s+(.*?)\s*;", line):
            here.append((int(found[1], 16), found[2]))
    return functions


def opcode(text):
    words = text.split()
    return words[1] if words[0].startswith("@") else words[0]


def inner_loop(instructions):
    """(instructions, those of them for tensor cores) of the inner loop, (0, 0) without any."""
    loops = []
    for address, text in instructions:
        target = re.search(r"0x([0-9a-f]+)", text)
        # An instruction that branches to itself fills up the end of a function.
        if opcode(text) == "BRA" and target and int(target[1], 16) < address:
            loops.append((int(target[1], 16), address))
    sizes = [(0, 0)]
    for first, last in loops:
        if any((a, b) != (first, last) and first <= a and b <= last for a, b in loops):
            continue
        body = [opcode(text) for address, text in instructions if first <= address <= last]
        sizes.append((len(body), sum(re.match("[IH]MMA", op) is not None for op in body)))
    return max(sizes, key=lambda size: (size[1], size[0]))


def measure(module):
    """kernel -> numbers in the order of COLUMNS."""
    usage = re.findall(r"Function (\S+?):?\s+REG:(\d+) STACK:(\d+) SHARED:(\d+)",
                       dump(module, "-res-usage"))
    names = readable([symbol for symbol, *_ in usage])
    usage = [kernel for kernel in usage if not names[kernel[0]].startswith(NOT_SERVING)]
    code = instructions_of(dump(module, "-sass"))
    kernels = {names[symbol]: (int(registers), int(shared), int(stack), *inner_loop(code[symbol]))
               for symbol, registers, stack, shared in usage}
    if len(kernels) != len(usage):
        raise ValueError(f"two kernels have one name: {sorted(names.values())}")
    return dict(sorted(kernels.items()))


def nvcc_version():
    """"13.0", or None without nvcc."""
    if shutil.which("nvcc") is None:
        return None
    out = subprocess.run(["nvcc", "--version"], capture_output=True, text=True, check=True).stdout
    return re.search(r"release (\d+\.\d+)", out)[1]


def text_of(kernels):
    rows = (f"| `{name}` | " + " | ".join(map(str, numbers)) + " |\n"
            for name, numbers in kernels.items())
    return HEADER.format(version=nvcc_version()) + "".join(rows)


def parse(text):
    """(version of nvcc, kernel -> numbers) of a table."""
    rows = re.findall(r"^\| `(.*?)` \| ([\d| ]+) \|$", text, re.M)
    return (re.search(r"nvcc (\S+)", text)[1],
            {name: tuple(map(int, numbers.split("|"))) for name, numbers in rows})


def grown(before, now):
    """What is worse now, a line each."""
    for name, numbers in now.items():
        if name not in before:
            yield f"{name} is not in the table"
            continue
        for column, old, new in zip(COLUMNS, before[name], numbers, strict=True):
            if column != "tensor" and new > old * GROWTH:
                yield f"{name}: {column} {old} -> {new}"
    for name in before.keys() - now.keys():
        yield f"{name} is in the table but not in the module"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--module", default=ROOT / "build" / "bin" / "liblockstep_cuda.so")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    table = text_of(measure(options.module))
    if options.write:
        TABLE.write_text(table)
    else:
        sys.stdout.write(table)


if __name__ == "__main__":
    main()
