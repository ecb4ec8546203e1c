"""A byte-level BPE vocabulary cut down to what given strings can use."""
from gguf import GGUFReader

from tokenizer_strings import SUBSET_STRINGS


def byte_alphabet() -> dict[int, str]:
    """GPT-2's printable stand-in for each byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    alphabet = {b: chr(b) for b in plain}
    for n, byte in enumerate(b for b in range(256) if b not in alphabet):
        alphabet[byte] = chr(256 + n)
    return alphabet


class VocabSubset:
    """ids are llama.cpp's, renumbered: tokens, types and merges are the model's own in their order, \
less those that no string below could use wherever it is split (a merge stays if its result occurs \
in a string). So a wrong split, merge or special token gives other ids here just as in the whole \
vocabulary. ids: parse_special true; ids_plain (only where different): parse_special false."""

    def __init__(self, path: str):
        fields = GGUFReader(path).fields
        tokens = fields["tokenizer.ggml.tokens"].contents()
        types = fields["tokenizer.ggml.token_type"].contents()
        merges = fields["tokenizer.ggml.merges"].contents()
        self.pre = fields["tokenizer.ggml.pre"].contents()
        self.strings = SUBSET_STRINGS
        alphabet = byte_alphabet()
        self.spelled = ["".join(alphabet[b] for b in text.encode()) for text in self.strings]
        keep = [i for i, (token, kind) in enumerate(zip(tokens, types, strict=True))
                if len(token) == 1 or self.occurs(token) or (kind != 1 and self.is_written(token))]
        self.new_id = {old: new for new, old in enumerate(keep)}
        self.tokens = [tokens[i] for i in keep]
        self.types = [types[i] for i in keep]
        self.merges = [m for m in merges if self.occurs(m.replace(" ", ""))]

    def occurs(self, token: str) -> bool:
        return any(token in text for text in self.spelled)

    def is_written(self, special: str) -> bool:
        return any(special in text for text in self.strings)

    def renumber(self, ids: list[int]) -> list[int]:
        return [self.new_id[i] for i in ids]
