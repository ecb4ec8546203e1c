"""Writes spm.json: small vocabularies that SentencePiece trains on the strings below, and the ids
that SentencePiece gives random texts.

Texts that are not UTF-8 have the ids of Slow below, because SentencePiece replaces bad bytes; for
the other texts of the same vocabulary both are compared here.
Run: pip install sentencepiece==0.2.3; python generate_spm.py
"""
import io
import json
import pathlib
import random

import sentencepiece

from tokenizer_strings import CODE, NUMBERS, SCRIPTS, SYMBOLS, WHITESPACE, WORDS

SEED = 20261201
SPACE = "\u2581"
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)  # GGUF's numbers
COMMON = dict(model_type="bpe", normalization_rule_name="identity", num_threads=1,
              allow_whitespace_only_pieces=True, minloglevel=2, hard_vocab_limit=False,
              character_coverage=0.98)
# name: (options of training, random texts)
MODELS = {
    "bytes": (dict(vocab_size=700, byte_fallback=True, remove_extra_whitespaces=False,
                   split_digits=True), 160),
    "collapsing": (dict(vocab_size=620, byte_fallback=True, remove_extra_whitespaces=True), 80),
    "unknown": (dict(vocab_size=400, byte_fallback=False, remove_extra_whitespaces=False,
                     add_dummy_prefix=False), 80),
}


def train(options: dict) -> sentencepiece.SentencePieceProcessor:
    corpus = [line for text in WORDS * 8 + NUMBERS + CODE * 2 + SCRIPTS
              for line in text.splitlines() if line]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(corpus), model_writer=model,
                                             **COMMON, **options)
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def type_of(model: sentencepiece.SentencePieceProcessor, i: int) -> int:
    kinds = ((model.is_unknown, UNKNOWN), (model.is_control, CONTROL), (model.is_unused, UNUSED),
             (model.is_byte, BYTE))
    return next((number for is_kind, number in kinds if is_kind(i)), NORMAL)


def random_texts(count: int) -> list[str]:
    rng = random.Random(SEED)
    pieces = WORDS + NUMBERS + CODE + SCRIPTS + SYMBOLS
    marks = list(" \t\n\r.,!?'\"aeinst0123456789") + [
        "  ", "   ", "\n\n", "\u0301", "e\u0301", "👍🏽", "👨‍👩‍👧‍👦", "🇫🇷", "\u00a0", "\u200d", "\u3000",
        "\ufeff", "\U0010ffff", "\u0000", "中", "ß", SPACE, "<0x41>", "the", "ing"]
    texts = ["", *WHITESPACE]
    while len(texts) < count:
        word = rng.choice(pieces)
        begin = rng.randrange(len(word))
        texts.append("".join(rng.choice(marks) if rng.random() < 0.6
                             else word[begin:begin + rng.randint(1, 12)]
                             for _ in range(rng.randint(1, 16))))
    return texts[:count]


class Slow:
    """Byte-pair encoding by its definition, over characters and bad bytes."""

    def __init__(self, model: sentencepiece.SentencePieceProcessor):
        pieces = range(model.get_piece_size())
        self.scores = {model.id_to_piece(i): model.get_score(i) for i in pieces
                       if type_of(model, i) == NORMAL}
        self.ids = {model.id_to_piece(i): i for i in pieces}

    def encode(self, data: bytes) -> list[int]:
        text = data.decode("utf-8", "surrogateescape").replace(" ", SPACE)
        symbols = list((SPACE if text else "") + text)
        while True:
            pairs = [(-self.scores[a + b], i) for i, (a, b) in
                     enumerate(zip(symbols, symbols[1:])) if a + b in self.scores]
            if not pairs:
                break
            at = min(pairs)[1]
            symbols[at:at + 2] = [symbols[at] + symbols[at + 1]]
        ids = []
        for symbol in symbols:
            if symbol in self.scores:
                ids.append(self.ids[symbol])
            else:
                ids += [self.ids[f"<0x{b:02X}>"] for b in
                        symbol.encode("utf-8", "surrogateescape")]
        return ids


def bad_texts(count: int) -> list[bytes]:
    rng = random.Random(SEED + 1)
    texts = [b"\xff", b"ab\xffcd", b"\xe2\x82", b"\xf0\x9f\x99 x", b"\xc0\xafthe \xed\xa0\x80ing"]
    good = random_texts(120)[60:]
    while len(texts) < count:
        text = bytearray(rng.choice(good).encode())
        for _ in range(rng.randint(1, 4)):
            text.insert(rng.randint(0, len(text)), rng.choice(b"\x80\xbf\xc3\xe2\xf0\xff"))
        try:
            text.decode()
        except UnicodeDecodeError:
            texts.append(bytes(text))
    return texts


def cases_of(name: str, model: sentencepiece.SentencePieceProcessor, count: int) -> list[dict]:
    cases = [{"text": text, "ids": model.encode(text)} for text in random_texts(count)]
    if name == "bytes":
        slow = Slow(model)
        for case in cases:
            assert slow.encode(case["text"].encode()) == case["ids"], case
        cases += [{"hex": text.hex(), "ids": slow.encode(text)} for text in bad_texts(40)]
    return cases


def main() -> None:
    compact = dict(ensure_ascii=True, separators=(",", ":"))
    parts = []
    for name, (options, count) in MODELS.items():
        model = train(options)
        size = model.get_piece_size()
        head = {
            "add_space_prefix": options.get("add_dummy_prefix", True),
            "remove_extra_whitespaces": options["remove_extra_whitespaces"],
            "tokens": [model.id_to_piece(i) for i in range(size)],
            "scores": [model.get_score(i) for i in range(size)],
            "types": [type_of(model, i) for i in range(size)],
        }
        lines = [f'"{key}": {json.dumps(value, **compact)}' for key, value in head.items()]
        cases = ",\n".join(json.dumps(case, **compact) for case in cases_of(name, model, count))
        parts.append(f'"{name}": {{\n' + ",\n".join(lines) + f',\n"cases": [\n{cases}\n]}}')
        print(f"{name}: {size} tokens, {cases.count(chr(10)) + 1} texts")
    path = pathlib.Path(__file__).with_name("spm.json")
    path.write_text(f'{{\n"source": "PyPI sentencepiece {sentencepiece.__version__}, seed {SEED}",\n'
                    + ",\n".join(parts) + "\n}\n")
    json.loads(path.read_text())


if __name__ == "__main__":
    main()
