"""The commits that .git-blame-ignore-revs hides from `git blame` move files and change nothing else.

What a move may change beside names: #include lines, paths in comments, documents and scripts, the
line breaks around them, and CMakeLists.txt.
"""

import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
REVS = ROOT / ".git-blame-ignore-revs"
PATH = re.compile(r"[\w./*{}$-]*\w\.(h|cpp|cu|cuh|md|py|sh)\b|\b\w+(/[\w-]+)+/?")


def git(*arguments):
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)


def without_paths(lines):
    """The words of `lines`, a path being one like any other; no #include, no mark of a comment."""
    kept = [line for line in lines if not re.match(r"\s*#include\b", line)]
    text = " ".join(re.sub(r"^\s*(//|#)", "", line) for line in kept)
    return PATH.sub("PATH", text).split()


def other_changes(diff):
    """The files of a `git diff -U0 -M` that do not only move."""
    for part in re.split(r"^diff --git ", diff, flags=re.M)[1:]:
        name, lines = part.split("\n", 1)[0].split(" b/")[-1], part.split("\n")
        old = [line[1:] for line in lines if re.match(r"-(?!-- )", line)]
        new = [line[1:] for line in lines if re.match(r"\+(?!\+\+ )", line)]
        if re.search(r"^(new|deleted) file mode", part, re.M):
            yield f"{name} is new or gone"
        elif not name.endswith("CMakeLists.txt") and without_paths(old) != without_paths(new):
            yield f"{name} changes"


def test_commits_that_blame_ignores_only_move_files():
    if not REVS.is_file():
        pytest.skip("there is no .git-blame-ignore-revs")
    lines = [line.split("#")[0].strip() for line in REVS.read_text().splitlines()]
    hashes = [line for line in lines if line]
    assert [h for h in hashes if not re.fullmatch(r"[0-9a-f]{40}", h)] == []
    known = [h for h in hashes if git("rev-parse", "--verify", "-q", f"{h}^^{{commit}}").stdout]
    for h in known:
        diff = git("diff", "-U0", "-M", "-l0", "--no-color", "--no-ext-diff", f"{h}^", h).stdout
        assert list(other_changes(diff)) == [], h
    if known != hashes:
        pytest.skip(f"this clone lacks {len(hashes) - len(known)} of {len(hashes)} commits or their "
                    "parents: it is shallow, or the file names commits of another history")


def diff_of(removed, added, head="rename from a.h\nrename to room/a.h"):
    body = "\n".join([f"-{line}" for line in removed] + [f"+{line}" for line in added])
    return f"diff --git a/a.h b/room/a.h\n{head}\n--- a/a.h\n+++ b/room/a.h\n@@ -1 +1 @@\n{body}\n"


def test_a_move_is_told_from_a_change():
    assert list(other_changes(diff_of(
        ['#include "b.h"', "// A block (kv/b.h) is", "// an id."],
        ['#include "room/b.h"', "// A block", "// (kv/room/b.h) is an id."]))) == []
    assert list(other_changes(diff_of(["int n = 0;"], ["int n = 1;"]))) == ["room/a.h changes"]
    assert list(other_changes(diff_of([], ["int n;"], "new file mode 100644"))) == [
        "room/a.h is new or gone"]
