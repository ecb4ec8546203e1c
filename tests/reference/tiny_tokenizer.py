"""The tokenizer of the tiny models: a valid byte-level BPE of any size, learnt from a few lines of
text. Special tokens as in ChatML models: 0 <|endoftext|>, 1 <|im_start|>, 2 <|im_end|>."""
import collections
import re

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5  # GGUF token types
SPECIAL = [("<|endoftext|>", CONTROL), ("<|im_start|>", CONTROL), ("<|im_end|>", CONTROL),
           ("<think>", USER_DEFINED), ("</think>", USER_DEFINED)]
N_MERGES = 512 - 256 - len(SPECIAL)

CHAT_TEMPLATE = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content']"
    " + '<|im_end|>' + '\\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")

CORPUS = """
The coordinator sends every request to a node, and the node runs the model on all of its ranks in lockstep.
A user asks a question; the assistant answers it, token by token, until the answer is complete. The system
keeps the keys and the values of the tokens that it has seen, so that nothing is computed more than once.
What is the capital of France? The capital of France is Paris. What is the largest planet of the solar system?
Once upon a time there was a small village by the sea, and in the village there lived an old man with his cat.
def main(args): return [int(a) for a in args if a.isdigit()]  # for (int i = 0; i < n; ++i) { sum += x[i]; }
Numbers: 0 1 2 3 4 5 6 7 8 9 10 11 12 100 200 1000 2024. Hello, hello! Are you there? Yes, I am here. No, not now.
The weather is nice today. They were walking through the forest when the rain started to fall on the trees.
It's what we don't know that we'd like to learn; I'll tell you what they've found when you're ready to listen.
The quick brown fox jumps over the lazy dog, then the dog thinks about something else and goes back to sleep.
"""


def byte_alphabet() -> dict[int, str]:
    """GPT-2's printable stand-in for each byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    alphabet = {b: chr(b) for b in plain}
    for n, byte in enumerate(b for b in range(256) if b not in alphabet):
        alphabet[byte] = chr(256 + n)
    return alphabet


def learn_merges(n_merges: int) -> list[tuple[str, str]]:
    """Byte-pair encoding: the most frequent neighbours first, ties to the smaller pair."""
    alphabet = byte_alphabet()
    pieces = re.findall(r" ?[A-Za-z]+| ?[0-9]| ?[^A-Za-z0-9\s]+|\s+", CORPUS)
    words = collections.Counter(tuple(alphabet[b] for b in piece.encode()) for piece in pieces)
    merges: list[tuple[str, str]] = []
    while len(merges) < n_merges:
        pairs: collections.Counter = collections.Counter()
        for word, n in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += n
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        merged: collections.Counter = collections.Counter()
        for word, n in words.items():
            merged[merge_pair(word, best)] += n
        words = merged
    return merges


def merge_pair(word: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    out, i = [], 0
    while i < len(word):
        if word[i:i + 2] == pair:
            out.append(word[i] + word[i + 1])
            i += 2
        else:
            out.append(word[i])
            i += 1
    return tuple(out)


def vocabulary(vocab_size: int) -> tuple[list[str], list[int], list[tuple[str, str]]]:
    """Tokens, their types, merges. A vocabulary above 512 is filled up with unused tokens."""
    merges = learn_merges(N_MERGES)
    tokens = [name for name, _ in SPECIAL] + list(byte_alphabet().values())
    tokens += [left + right for left, right in merges]
    types = [kind for _, kind in SPECIAL] + [NORMAL] * (len(tokens) - len(SPECIAL))
    n_unused = vocab_size - len(tokens)
    tokens += [f"<|unused_{i}|>" for i in range(n_unused)]
    types += [UNUSED] * n_unused
    assert len(set(tokens)) == len(types) == vocab_size
    return tokens, types, merges


def add_tokenizer(writer, vocab_size: int) -> None:
    """Writes tokenizer.ggml.*."""
    tokens, types, merges = vocabulary(vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([f"{left} {right}" for left, right in merges])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)
