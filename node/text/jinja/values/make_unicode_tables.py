"""Writes unicode_tables.h: the case mappings and character classes of Python's str, as the Python
that runs this has them (3.11: Unicode 14). Run: python make_unicode_tables.py
"""
import pathlib
import sys
import unicodedata

ALL = [chr(c) for c in range(sys.maxunicode + 1) if not 0xD800 <= c <= 0xDFFF]


def is_cased(c):
    return (c + "a").title()[-1] == "a"


def is_case_ignorable(c):
    """Those that the search for a word's end, which turns a capital sigma into a final one, skips."""
    is_end = (c + "\u03a3").lower()[-1] == "\u03c2"
    return not is_end and (is_cased(c) or ("A" + c + "\u03a3").lower()[-1] == "\u03c2")


CLASSES = {
    "Alpha": str.isalpha, "Decimal": str.isdecimal, "Digit": str.isdigit, "Numeric": str.isnumeric,
    "Upper": str.isupper, "Lower": str.islower, "Title": lambda c: c.istitle() and not c.isupper(),
    "Cased": is_cased, "CaseIgnorable": is_case_ignorable, "Printable": str.isprintable,
}
MAPPINGS = {"Upper": str.upper, "Lower": str.lower, "Title": str.title, "Fold": str.casefold}


def lines(words):
    line = ""
    for word in words:
        if len(line) + len(word) + 1 > 100:
            yield line
            line = ""
        line += word + ","
    yield line


def class_steps(holds):
    """How far it is to where the class begins, from there to where it ends, to where it begins, …"""
    inside, last = False, 0
    for c in ALL:
        if holds(c) != inside:
            inside = not inside
            yield str(ord(c) - last)
            last = ord(c)
    if inside:
        yield str(sys.maxunicode + 1 - last)


def runs(mapping):
    """[first, last, stride, difference] of the characters that become one other character."""
    out = []
    for c in ALL:
        mapped = mapping(c)
        if len(mapped) != 1 or mapped == c:
            continue
        at, difference = ord(c), ord(mapped) - ord(c)
        if out and out[-1][3] == difference:
            first, last, stride, _ = out[-1]
            if at - last == stride or (first == last and at - last <= 2):
                out[-1] = [first, at, at - last, difference]
                continue
        out.append([at, at, 1, difference])
    return out


def expansions(mapping):
    for c in ALL:
        mapped = [ord(m) for m in mapping(c)]
        if len(mapped) > 1:
            yield [ord(c)] + mapped + [0] * (3 - len(mapped))


def main():
    out = ["// Made by make_unicode_tables.py from Python %d.%d, Unicode %s; not to be edited." % (
               *sys.version_info[:2], unicodedata.unidata_version),
           "// A class is the steps from where it begins to where it ends, begins again, …; a mapping is runs",
           "// of characters with one difference, and those that become several.",
           "#pragma once", "", "#include <cstdint>", "", "// clang-format off",
           "namespace lockstep::jinja::unicode {", "",
           "struct CaseRun { int32_t first, last, stride, difference; };",
           "struct CaseExpansion { int32_t from; int32_t to[3]; };  // 0 = no more", ""]
    for name, holds in CLASSES.items():
        out += ["inline constexpr int32_t k%sSteps[] = {" % name, *lines(class_steps(holds)), "};"]
    for name, mapping in MAPPINGS.items():
        words = ["{%d,%d,%d,%d}" % tuple(run) for run in runs(mapping)]
        out += ["inline constexpr CaseRun k%sRuns[] = {" % name, *lines(words), "};"]
        words = ["{%d,{%d,%d,%d}}" % tuple(e) for e in expansions(mapping)]
        out += ["inline constexpr CaseExpansion k%sExpansions[] = {" % name, *lines(words), "};"]
    out += ["", "}  // namespace lockstep::jinja::unicode"]
    pathlib.Path(__file__).with_name("unicode_tables.h").write_text("\n".join(out) + "\n")


if __name__ == "__main__":
    main()
