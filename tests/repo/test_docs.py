"""What the documents say is there: links, messages and fields of the wire, flags."""

import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ["LOCKSTEP_BIN"])
MESSAGES = (ROOT / "wire" / "messages.h").read_text()
PROTOCOL = (ROOT / "docs" / "wire-protocol.md").read_text()
# Both are `prompt` on the wire.
SPELLED_OTHERWISE = {"prompt_text": "prompt", "prompt_ids": "prompt"}


def documents():
    # Committed files and new ones; not what git ignores, such as build folders.
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.md"], cwd=ROOT,
                         capture_output=True, text=True, check=True)
    return sorted(p for p in {ROOT / name for name in out.stdout.split()} if p.is_file())


def without_fences(text):
    return re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)


def without_code(text):
    return re.sub(r"`[^`\n]*`", "", without_fences(text))


def broken_links(document):
    targets = re.findall(r"\]\(([^()\s]+)\)", without_code(document.read_text()))
    local = [t.split("#")[0] for t in targets if not re.match(r"[a-z]+:", t)]
    return [t for t in local if t and not (document.parent / t).exists()]


def structs():
    """{struct: [field]} of wire/messages.h, whose structs are plain: members, and at most a
    defaulted comparison."""
    code = re.sub(r"//[^\n]*", "", MESSAGES)
    found = {}
    for name, body in re.findall(r"^struct (\w+) \{(.*?)^\};", code, re.M | re.S):
        body = re.sub(r"\{[^}]*\}", "", body)  # initialisers
        body = re.sub(r"(friend )?bool operator==\([^)]*\)( const)? = default;", "", body)
        declarations = [d.strip() for d in body.split(";") if d.strip()]
        found[name] = [re.search(r"(\w+)\s*(?:=.*)?$", part.strip()).group(1)
                       for d in declarations for part in re.sub(r"<.*>", "", d).split(",")]
    return found


def type_names():
    names = MESSAGES.split("kTypeNames", 1)[1]
    return re.findall(r'"(\w+)"', names)


def in_code(text):
    """Every name that stands in `code`."""
    return {name for span in re.findall(r"`([^`\n]+)`", text) for name in re.findall(r"\w+", span)}


def flags_of_readme(program):
    readme = (ROOT / "README.md").read_text()
    table = re.search(rf"^\| {program} \|.*\n((?:\|.*\n)+)", readme, re.M).group(1)
    return sorted(set(re.findall(r"`(--[a-z-]+)`", table)))


@pytest.mark.parametrize("document", documents(), ids=lambda p: str(p.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file(document):
    assert broken_links(document) == []


def test_the_header_is_read_as_it_is_written():
    found = structs()
    assert len(found) >= len(type_names()) == 27
    assert found["Cancel"] == ["request_id"]
    assert found["Usage"] == ["prompt_tokens", "cached_tokens", "completion_tokens"]
    assert "n_waiting" in found["Heartbeat"] and "n_blocks_active" in found["Heartbeat"]
    assert found["Hello"] == ["versions", "role"]


def test_the_protocol_names_every_message():
    headings = in_code("\n".join(re.findall(r"^### (.*)$", PROTOCOL, re.M)))
    assert [name for name in type_names() if name not in headings] == []


def test_the_protocol_names_every_field():
    named = in_code(without_fences(PROTOCOL))
    missing = [f"{struct}.{field}" for struct, fields in structs().items() for field in fields
               if SPELLED_OTHERWISE.get(field, field) not in named]
    assert missing == []


def test_the_protocol_names_every_error_code_with_its_status():
    rows = re.findall(r'ErrorCode::k\w+, "(\w+)", (\d+)',
                      (ROOT / "common" / "error_code.cpp").read_text())
    assert rows
    table = PROTOCOL.split("## 7. Errors")[1].split("## 8.")[0]
    documented = {}
    for codes, statuses in re.findall(r"^\| (`[^|]*) \| ([\d, ]+) \|", table, re.M):
        documented.update(zip(re.findall(r"`(\w+)`", codes), statuses.split(", ")))
    assert documented == dict(rows)


@pytest.mark.parametrize("program", ["node", "coordinator"])
def test_every_flag_of_the_readme_exists(program):
    flags = flags_of_readme(program)
    assert flags
    out = subprocess.run([str(BIN / f"lockstep-{program}"), "--help"], capture_output=True,
                         text=True, check=True).stdout
    assert [flag for flag in flags if not re.search(rf"(?<![\w-]){flag}(?![\w-])", out)] == []


def test_the_tests_that_documents_name_exist():
    """docs/engine.md names the test that holds it to a rule: `CamelCaseName`."""
    sources = "\n".join(p.read_text() for folder in ("unit", "faults")
                        for p in (ROOT / "tests" / folder).rglob("*_test.cpp"))
    text = (ROOT / "docs" / "engine.md").read_text()
    named = re.findall(r"`((?:[A-Z]+[a-z]+){4,}\d*)`", text)
    assert named
    assert [name for name in named if f", {name})" not in sources] == []
