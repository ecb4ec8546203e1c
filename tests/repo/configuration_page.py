"""configuration_page.py BIN: prints docs/configuration.md, made from what --print-config of the
programs in the folder BIN says, and --help of second names. A test compares the two.

    python3 tests/repo/configuration_page.py build/bin > docs/configuration.md"""

import pathlib
import re
import subprocess
import sys

PROGRAMS = ("node", "coordinator")
HEAD = """# Configuration

This page lists every setting of `lockstep-node` and `lockstep-coordinator`; `lockstep serve` has both, and `lockstep chat`
those of the engine. A setting is a flag (`--block-size 32`) and a YAML key (`block_size: 32`) of the file that `--config`
names; flags override the file. An unknown key or flag is an error. `--print-config` prints the effective settings as YAML,
and `--check` checks them as a start does. [configs/](../configs) holds the same settings as files.

A BOOL is `true` or `false`; its flag needs no value (`--kv-cache`, `--no-kv-cache`). Where a row names an opposite, the
setting has a second name, as a flag and as a YAML key, which sets it to the reverse. A MAP is a list of maps, and its
flag is given once per map (`--tenants '{name: gold, floor: 100}'`). BYTES and MS are whole numbers of bytes and
milliseconds. HOST:PORT is a TCP address; an ENDPOINT is ZeroMQ's, `tcp://HOST:PORT` or `ipc://PATH`.

This page is generated (`tests/repo/configuration_page.py`) and compared with the programs in a test.
"""


class Setting:
    """A setting as --print-config shows it: its sentences, type, name and value."""

    def __init__(self, group, comment, name, value):
        self.group, self.name, self.value = group, name, value
        self.text, self.type = re.fullmatch(r"(.*) \[([^\[\]]+)\]", comment).groups()


def output(folder, program, flag):
    return subprocess.run([pathlib.Path(folder) / f"lockstep-{program}", flag],
                          capture_output=True, text=True, check=True).stdout


def opposites(text):
    """{flag: its second name, which sets it to the reverse} of a page of --help."""
    found = re.findall(r"^  (--[\w-]+).* The opposite of (--[\w-]+)\.$", text, re.M)
    return {flag: second for second, flag in found}


def settings(text):
    """The settings of a page of --print-config or of a file in configs/."""
    group, comments = "", []
    for line in text.splitlines():
        key = re.fullmatch(r"(?:# )?(\w+):(?: (.*))?", line)
        if line.startswith("## "):
            group, comments = line[3:], []
        elif not line:
            comments = []
        elif key and comments and comments[-1].endswith("]"):
            yield from with_keys(group, comments, key[1], key[2] or "")
            comments = []
        elif line.startswith("#   ") and not line.startswith("#     "):  # a key of a map
            comments.append(line[4:])
        elif comments:
            comments[-1] += " " + line[1:].strip()
        else:
            comments = [line[2:]]


def with_keys(group, comments, name, value):
    yield Setting(group, comments[0], name, value)
    for comment in comments[1:]:
        key, text = comment.split(": ", 1)
        text, default, kind = re.fullmatch(
            r"(.*\.) ((?:Default .*|\w+ by default)\.) (\[\w+\])", text).groups()
        default = default[8:-1] if default.startswith("Default") else '""'
        yield Setting(group, f"{text} {kind}", f"{name}: {key}", default)


def row(setting, second_names):
    name, *key = setting.name.split(": ")
    flag = "--" + name.replace("_", "-")
    second = f"; opposite: `{second_names[flag]}`" if flag in second_names else ""
    flag = "" if key else f"`{flag}`{second}"
    value = {"": "none", '""': "empty", "[]": "empty"}.get(setting.value, f"`{setting.value}`")
    kind = setting.type.replace("|", "\\|")
    return f"| `{setting.name}` | {flag} | {kind} | {value} | {setting.text} |\n"


def page(folder):
    out = HEAD
    for program in PROGRAMS:
        out += f"\n## {program.capitalize()}\n"
        second_names = opposites(output(folder, program, "--help"))
        group = None
        for setting in settings(output(folder, program, "--print-config")):
            if setting.group != group:
                group = setting.group
                out += f"\n### {group}\n\n| setting | flag | type | default | |\n|---|---|---|---|---|\n"
            out += row(setting, second_names)
    return out


if __name__ == "__main__":
    sys.stdout.write(page(sys.argv[1]))
