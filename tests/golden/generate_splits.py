"""Writes splits.json: where Hugging Face `tokenizers` cuts text, for each pre-tokenizer family.

The expressions are those of the models' published tokenizer.json; random text holds only
characters of Unicode 14, which every Unicode table in use agrees about.
Run: pip install tokenizers==0.23.3; python generate_splits.py
"""
import json
import pathlib
import random
import unicodedata

import tokenizers
from tokenizers import Regex
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence, Split

from tokenizer_strings import CODE, NUMBERS, SCRIPTS, SYMBOLS, WHITESPACE, WORDS

CONTRACTIONS = "'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]"
LLAMA3 = (CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
GPT4O = "|".join(
    [rf"[^\r\n\p{{L}}\p{{N}}]?{word}(?i:'s|'t|'re|'ve|'m|'ll|'d)?" for word in
     (f"{UPPER}*{LOWER}+", f"{UPPER}+{LOWER}*")]
    + [r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])


def split(regex: str) -> Split:
    return Split(Regex(regex), behavior="isolated")


FAMILIES = {
    "gpt-2": ByteLevel(add_prefix_space=False, trim_offsets=False),
    "smollm": Sequence([Digits(individual_digits=True),
                        ByteLevel(add_prefix_space=False, trim_offsets=False)]),
    "qwen2": split(QWEN2),
    "llama-bpe": split(LLAMA3),
    "gpt-4o": split(GPT4O),
}


def random_strings(seed: int, count: int) -> list[str]:
    rng = random.Random(seed)
    assigned = [chr(c) for c in range(0x110000)
                if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]
    common = list(" \t\n\r\v\f.,!?'\"-_$()[]{}<>=+abcXYZ0123456789éßДяжあ中文🙂\u0301\u00a0\u180e\u200b\u2003"
                  "\u2028\u3000\u0085\u001c\u001f½Ⅳ²٣") + ["'s", "'LL", "'ve", "\r\n", "  ", " a"]
    return ["".join(rng.choice(assigned if rng.random() < 0.3 else common)
                    for _ in range(rng.randint(1, 24))) for _ in range(count)]


def main() -> None:
    unicode_version = unicodedata.unidata_version
    assert unicode_version == "14.0.0", f"Python 3.11 has Unicode 14, this one {unicode_version}"
    texts = list(dict.fromkeys(WHITESPACE + WORDS + NUMBERS + CODE + SCRIPTS + SYMBOLS
                               + random_strings(3, 400)))
    cases = []
    for text in texts:
        case = {"text": text}
        for name, pre in FAMILIES.items():
            # The cuts, in characters; the pieces follow from them and cover the whole text.
            case[name] = [end for _, (_, end) in pre.pre_tokenize_str(text)]
        cases.append(case)
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    path = pathlib.Path(__file__).with_name("splits.json")
    path.write_text('{"source": "PyPI tokenizers %s",\n"note": "ends of the pieces, in characters",\n'
                    '"cases": [\n%s\n]}\n' % (tokenizers.__version__, lines))


if __name__ == "__main__":
    main()
