"""Comments are as they were written: clang-format has broken no example, table or drawing, and the
files that comments and documents name are there.

A block that the first test reports is drawn narrower, or stands between `// clang-format off` and
`// clang-format on`.
"""

import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMMENT = re.compile(r"(?P<before>\s*)//(?P<indent> *)(?P<text>.*)")
# A line of an example (a statement and what it does), of a table or of a drawing.
ROW = re.compile(r"\S {3,}\S|; +//| \| |[─-▿]")
# A statement with its comment: at most a type and a name before the first ( or =.
STATEMENT = re.compile(r"(?P<head>[^;=(]*)[=(][^;]*; +//")
FOLDERS = ("bench", "clients", "common", "configs", "coordinator", "deploy", "docs", "kernels",
           "node", "parallel", "tests", "wire", ".ci")
SUFFIXES = "h|cpp|cu|cuh|md|py|sh|yaml|yml|json|txt|cmake"
UNDER_A_FOLDER = rf"(?:{'|'.join(map(re.escape, FOLDERS))})/[\w./*-]*"
PATH = re.compile(rf"(?<![\w/.$}}-]){UNDER_A_FOLDER}\w\.(?:{SUFFIXES})\b"
                  rf"|(?<=`){UNDER_A_FOLDER}(?=`)")
NOT_PATHS_OF_OURS = {
    "docs/gguf.md": "of ggml",
    "tests/fuzz/fuzz_NAME.cpp": "NAME is the reader's",
}


def tracked(*suffixes):
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT,
                         capture_output=True, text=True, check=True)
    return sorted(name for name in set(out.stdout.split())
                  if name.endswith(suffixes) and (ROOT / name).is_file())


def broken_lines(text):
    """(line, why) of each comment line that looks as if clang-format had reflowed it."""
    lines = text.splitlines()
    comments = [COMMENT.fullmatch(line) for line in lines]
    for i, here in enumerate(comments):
        above = comments[i - 1] if i > 0 else None
        below = comments[i + 1] if i + 1 < len(lines) else None
        if here is None:
            continue
        words, indent = here["text"].split(), here["indent"]
        statement = STATEMENT.match(here["text"])
        if statement and len(re.sub(r"^(const|static) ", "", statement["head"]).split()) > 2:
            yield i + 1, "two statements in one line of an example"
        if above and len(words) in (1, 2) and len(indent) > 1 and above["indent"] == indent \
                and len(lines[i - 1]) >= 80 and len(here["text"]) < 24 \
                and ROW.search(above["text"]) and not ROW.search(here["text"]):
            yield i + 1, "the end of the row above stands in a line of its own"
        if below and re.fullmatch(r"\w{1,3}", here["text"]) and len(below["indent"]) > len(indent):
            yield i + 1, "one word, and the rest of its sentence further right"
        if below and indent == below["indent"] == " " and re.match("[a-z]", below["text"]) \
                and here["before"] == below["before"] and re.search(r"[^.:;,!?)`}]$", here["text"]) \
                and len(lines[i]) + len(below["text"].split()[0]) < 70:
            yield i + 1, "a line ends early in the middle of a sentence"


def missing_paths(name, text):
    for path in PATH.findall(text):
        if path in NOT_PATHS_OF_OURS or (ROOT / path).exists():
            continue
        if "*" not in path or not any(ROOT.glob(path)):
            yield f"{name}: {path}"


def test_no_comment_was_broken_by_the_formatter():
    assert [f"{name}:{line}: {why}" for name in tracked(".h", ".cpp", ".cu", ".cuh")
            for line, why in broken_lines((ROOT / name).read_text())] == []


def test_every_path_that_a_comment_or_a_document_names_exists():
    names = [name for name in tracked(*(f".{suffix}" for suffix in SUFFIXES.split("|")))
             if not re.match(r"tests/golden/.*\.json|tests/repo/test_comments\.py", name)]
    assert [missing for name in names
            for missing in missing_paths(name, (ROOT / name).read_text())] == []


def test_broken_comments_are_recognised():
    """As clang-format leaves an example, a table and a drawing that are too wide."""
    row = "//   kWaiting -> kPrefilling     admitted: it has a slot, the cached blocks of its tokens"
    broken = {
        "//   pool.take();    // shares it\n//   returns it pool.keep(id);   // kept": 2,
        f"{row} and\n//   a\n//                               reservation of others": 2,
        f"{row} | and\n//   samples": 2,
        "// Buffer: whole pages of memory, zero-filled\n// by the kernel on first touch": 1,
    }
    for text, line in broken.items():
        assert line in [number for number, _ in broken_lines(text)], text


def test_sound_comments_are_not():
    for text in (
            "//   auto x = pool.reserve(3);     // nullopt: not now\n//   BlockRef block = x.take();",
            "//   const BlockRef& b = x.take();  // copying shares it,\n"
            "//                                  // destroying returns it",
            "// A sentence, which ends where the line does.\n// another"):
        assert list(broken_lines(text)) == []
