"""The help of every program, the settings files and docs/configuration.md: whole sentences, types
and headings, and the same content everywhere."""

import os
import pathlib
import re
import subprocess

import pytest

import configuration_page

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ["LOCKSTEP_BIN"])
COMMANDS = ("serve", "chat", "complete", "status", "top", "why", "inspect", "bench")
PROGRAMS = [("lockstep-node",), ("lockstep-coordinator",)] + [("lockstep", c) for c in COMMANDS]
CONFIGS = sorted([*ROOT.glob("configs/*.yaml"), *ROOT.glob("deploy/k8s/base/config/*.yaml")])
# A sentence that begins so continues the name of its setting instead of naming a subject.
NO_FIRST_WORDS = {"of", "that", "for", "to", "from", "more", "which", "whose", "taken", "when"}
TYPES = re.compile(r"INT(,INT)?|FLOAT|BYTES|MS|SECONDS|BOOL|TEXT|PATH|MAP|HOST:PORT|ENDPOINT"
                   r"|[\w-]+(\|[\w-]+)+")
NODE_GROUPS = ["Model", "Parallelism", "KV cache", "Scheduling", "Sampling and text",
               "Observability", "Network", "KV events"]
COORDINATOR_GROUPS = ["Network", "Routing", "Sampling and text", "Limits", "Timeouts",
                      "Observability"]


def run(*command):
    return subprocess.run([BIN / command[0], *command[1:]], capture_output=True, text=True,
                          check=True).stdout


def print_config(program):
    """The defaults; a coordinator has one node, as in configs/coordinator.yaml."""
    node = ("--node", "tcp://127.0.0.1:5556") if program == "coordinator" else ()
    return run(f"lockstep-{program}", *node, "--print-config")


def faults(text):
    """What is wrong with a help text or a comment; empty = nothing."""
    found = [] if text.endswith(".") else ["ends without a period"]
    # "Sentence. Sentence (a.b)." A new sentence begins after a period and a space.
    for sentence in re.split(r"(?<=\.) ", text):
        first = re.match(r"[^\s,;:]*", sentence).group()
        if first.lower() in NO_FIRST_WORDS:
            found.append(f"begins with '{first}'")
        if not re.match(r"[A-Z]|-?\d", first) and not first.endswith(".yaml"):
            found.append(f"'{first}' is no capital")
    return found


class Help:
    """--help: its description, and for each heading its options [(names, type, text)]."""

    def __init__(self, *command):
        self.text = run(*command, "--help")
        self.description, usage, *lines = self.text.splitlines()
        assert usage.startswith("Usage: ")
        self.groups = {}
        for line in lines:
            heading = re.fullmatch(r"(\S.*):", line)
            option = re.match(r"  (\S+)(?: (\S+))?(?: +(\S.*))?$", line)
            if heading:
                options = self.groups.setdefault(heading[1], [])
            elif option:
                options.append([option[1], option[2] or "", option[3] or ""])
            elif line and not line.startswith(" " * 32):  # the keys of a map
                options[-1][2] = f"{options[-1][2]} {line.strip()}".strip()

    def options(self):
        return [option for options in self.groups.values() for option in options]


def comments(text):
    """The comments of a settings file as paragraphs, without types and settings commented out."""
    plain = "\n".join("" if re.fullmatch(r"## .*|# \w+:", line) else line
                      for line in text.splitlines())
    plain = re.sub(r" \[\S+\]$", "", re.sub(r"\n#     +", " ", plain), flags=re.M)
    plain = re.sub(r"^#   \w+: ", "\n# ", plain, flags=re.M)
    for block in re.findall(r"(?:^# .*\n)+", plain + "\n", re.M):
        yield re.sub(r"\n# ", " ", block[2:].rstrip("\n"))


@pytest.mark.parametrize("command", PROGRAMS, ids=" ".join)
def test_help_is_whole_sentences(command):
    page = Help(*command)
    assert faults(page.description) == []
    assert len(page.options()) > 5
    assert [(names, fault) for names, _, text in page.options() for fault in faults(text)] == []


@pytest.mark.parametrize("command", PROGRAMS, ids=" ".join)
def test_help_types_every_value(command):
    untyped = {"-h,--help", "--check", "--print-config", "--version"}
    for names, kind, _ in Help(*command).options():
        if names not in untyped:
            assert TYPES.fullmatch(kind.strip("[]=")), (names, kind)


@pytest.mark.parametrize("command", PROGRAMS, ids=" ".join)
def test_help_names_each_default_once(command):
    page = Help(*command)
    for names, _, text in page.options():
        if names.startswith("--") and not text.startswith("The opposite of ") and names not in (
                "--config", "--check", "--print-config", "--version"):
            assert len(re.findall(r"Default .*\.$|\w+ by default\.$", text)) == 1, names
            assert text.lower().count("default ") <= 1 + text.count("tenant default"), text


def test_the_commands_are_described_in_sentences():
    lines = [line.split(None, 1) for line in run("lockstep", "--help").splitlines()[2:]]
    assert [name for name, _ in lines] == list(COMMANDS)
    assert [(name, fault) for name, text in lines for fault in faults(text)] == []


def test_settings_stand_under_the_heading_of_their_subject():
    assert list(Help("lockstep-node").groups) == ["Positionals", *NODE_GROUPS, "Options"]
    assert list(Help("lockstep-coordinator").groups) == [*COORDINATOR_GROUPS, "Options"]
    for program, groups in (("node", NODE_GROUPS), ("coordinator", COORDINATOR_GROUPS)):
        assert re.findall(r"^## (.*)$", print_config(program), re.M) == groups


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_comments_of_settings_files_are_whole_sentences(path):
    found = list(comments(path.read_text()))
    assert found
    assert [(text, fault) for text in found for fault in faults(text)] == []
    assert [line for line in path.read_text().splitlines() if len(line) > 100] == []


@pytest.mark.parametrize("program", ["node", "coordinator"])
def test_the_settings_files_are_what_the_programs_print(program):
    text = (ROOT / "configs" / f"{program}.yaml").read_text()
    printed = print_config(program)
    assert text.endswith("\n\n" + printed), f"configs/{program}.yaml has to end with\n{printed}"


def test_the_documentation_lists_every_setting():
    expected = configuration_page.page(BIN)
    for program in ("node", "coordinator"):
        names = re.findall(r"^(?:# )?(\w+):", print_config(program), re.M)
        assert len(names) > 15 and [n for n in names if f"| `{n}` | `--" not in expected] == []
    second_names = [names for names, _, text in Help("lockstep-node").options()
                    if text.startswith("The opposite of ")]
    assert second_names and [n for n in second_names if f"`{n}` | BOOL" not in expected] == []
    written = (ROOT / "docs" / "configuration.md").read_text()
    assert written == expected, "python3 tests/repo/configuration_page.py build/bin writes it anew"


def test_settings_of_other_engines_are_not_shown():
    shown = run("lockstep-node", "--help") + print_config("node")
    assert not re.search(r"defrag.thold|cache.reuse|swap.space", shown)


@pytest.mark.parametrize("text, fault", [
    ("that run at once; others wait.", "begins with 'that'"),
    ("Number of sequences", "ends without a period"),
    ("Number of sequences. more wait.", "begins with 'more'"),
    ("sequences at once.", "'sequences' is no capital"),
])
def test_a_fragment_is_noticed(text, fault):
    assert fault in faults(text)
    assert faults("Maximum number of sequences that run at once; others wait. 0 sets none.") == []
