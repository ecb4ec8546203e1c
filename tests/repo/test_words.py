"""The words of the tree: retired ones appear nowhere, leaf and lane only where numerics are meant.

Names of files and identifiers count word by word: BlockPromise and n_blocks_promised both hold
"promise".
"""

import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Words of others (the licence, the output of models), and this list.
NOT_OURS = re.compile(r"LICENSE$|tests/golden/.*\.json$|tests/repo/test_words\.py$")

# Retired word -> what to write instead. A phrase may be broken over two lines of a comment.
RETIRED = {
    r"zio": "I/O thread",
    r"news": "step outputs, tokens, events",
    r"patience": "timeout",
    r"dear(er|est)?": "slow, costly",
    r"last words?": "final message",
    r"(send|sends|sending|sent) back": "preempt, requeue",
    r"(stand|stands|standing|stood) back": "defer",
    r"outbox(es)?": "SendQueue",
    r"prompt lanes?": "WaitingCursor",
    r"waiting lines?": "WaitingQueue",
    r"(id )?mint": "IdGenerator",
    r"(client )?desk": "RequestDispatcher",
    r"(?-i:Relay)": "ZmqFrontend",
}
# The same where blocks are what is meant.
PROMISE = r"promis(e|es|ed|ing)"
OF_BLOCKS = re.compile(r"(?!node/text/)(node|docs|configs|deploy|bench)/"
                       r"|tests/(unit/(kv|engine|service)|faults|support|cluster|repo)/")
# Documents that are not in this repository.
ELSEWHERE = re.compile(r"\b(DESIGN|ACCEPTANCE|STYLE|review)\.md|\(DESIGN\b|ACCEPTANCE:")

# A leaf of the order of sums, a lane of a leaf or of a warp.
NUMERICS = re.compile(
    r"kernels/|parallel/|node/model/(weights|rank|forward)/|clients/cli/inspect\.cpp|bench/gpu/"
    r"|docs/(numerics|glossary)\.md|docs/decisions/\d+-[a-z-]*(leaf|lanes)|ARCHITECTURE\.md"
    r"|tests/(unit/(kernels|parallel|model)|bits|cuda_emulation|nccl_emulation|reference)/"
    r"|tests/repo/rooms\.py")
# The noun. "leaves" alone may be the verb.
LEAF_OR_LANE = r"leaf|lanes?|(the|are|as|are no|n) leaves"


def words_of(text):
    """`text` with identifiers cut into words, each line still a line."""
    text = text.replace("std::promise", "")
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_", " ", text)


def lines_with(pattern, text):
    """1-based lines on which `pattern` begins, in words; between two words may stand a line's end
    with the marks of a comment or a string."""
    spaced = pattern.replace(" ", r'[\s/#"]+')
    return [text.count("\n", 0, found.start()) + 1
            for found in re.finditer(rf"\b({spaced})\b", text, re.I)]


def files():
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT,
                         capture_output=True, text=True, check=True)
    for name in sorted(set(out.stdout.split())):
        if not NOT_OURS.match(name) and (ROOT / name).is_file():
            yield name, (ROOT / name).read_text(errors="ignore")


FILES = [(name, text, words_of(text)) for name, text in files()]


def places(pattern, instead, where=re.compile("")):
    found = [f"{name}: its name: {instead}" for name, _, _ in FILES
             if where.match(name) and lines_with(pattern, words_of(name))]
    return found + [f"{name}:{line}: {instead}" for name, _, words in FILES if where.match(name)
                    for line in lines_with(pattern, words)]


def test_retired_words_appear_nowhere():
    assert [place for word, instead in RETIRED.items() for place in places(word, instead)] == []


def test_blocks_are_reserved_and_not_promised():
    assert places(PROMISE, "reserve, reservation", OF_BLOCKS) == []


def test_leaf_and_lane_are_words_of_the_numerics_alone():
    elsewhere = re.compile(rf"(?!{NUMERICS.pattern})")
    assert places(LEAF_OR_LANE, "childless entry, WaitingCursor", elsewhere) == []


def test_no_file_names_a_document_of_another_place():
    assert [f"{name}:{number}" for name, text, _ in FILES
            for number, line in enumerate(text.splitlines(), 1) if ELSEWHERE.search(line)] == []


def test_words_are_found_in_identifiers_and_across_lines():
    text = words_of("BlockPromise p;\n// It is sent\n// back. std::promise<int>\nn_waiting_line")
    assert lines_with(PROMISE, text) == [1]
    assert lines_with("(send|sent) back", text) == [2]
    assert lines_with("waiting lines?", text) == [4]
    assert lines_with("leaf|lanes?", words_of("planes, leafs\none_leaf_per_rank, ALane")) == [2, 2]
