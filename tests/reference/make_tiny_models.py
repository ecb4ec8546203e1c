#!/usr/bin/env python3
"""Writes the seeded tiny models of the tests as GGUF and as folders of Hugging Face, and beside each
F32 one what exact arithmetic answers.

    make_tiny_models.py --out DIR [--mid]

Files: NAME-TYPE.gguf ("tiny-9-f32.gguf"), folders NAME-TYPE and NAME-TYPE-N-files of the same weights,
and NAME.logits.{json,bin} for the F32 file:
  json  {"model", "vocab_size", "cases": [{"prompt", "greedy", "first_row", "n_rows"}]}
  bin   float64, little-endian, [rows, vocab_size]; a case's row t holds the logits that follow the
        first t + 1 tokens of prompt + greedy
`greedy` is the exact greedy continuation; prompts are chosen so that its two best logits are always
more than 1e-2 apart (no rounding can turn it) and it is the most varied of a few. k_quants.* are
random super-blocks with their values (k_quants.py). DIR/stamp is written last. --mid adds `mid`, a
155 MB model for memory tests. Needs numpy and gguf (PyPI).
"""
import argparse
import dataclasses
import hashlib
import json
import os
import pathlib
import zlib

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy: threads only wait for matrices this small

import numpy as np  # noqa: E402
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import quantize
import k_quants
from oracle import Oracle
from tiny_huggingface import write_hf
from tiny_tokenizer import SPECIAL, add_tokenizer

SEED = 20240607
PROMPT_LENGTHS = [1, 2, 15, 16, 17, 63]
N_GREEDY = 48
MIN_MARGIN = 1e-2
N_CANDIDATES = 2
ALL_TYPES = ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"]


@dataclasses.dataclass
class Spec:
    name: str
    n_layers: int
    hidden_dim: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    ffn_dim: int
    arch: str = "llama"
    vocab_size: int = 512
    context_length: int = 1024
    theta: float = 10000.0
    eps: float = 1e-5
    n_rot: int = 0  # 0 = the whole head
    tied: bool = True
    bias: bool = False
    rope_scaling: dict | None = None  # of Llama 3.1, written as rope_freqs.weight
    qk_norm: bool = False
    window: int = 0
    fused: bool = False  # q, k and v in one tensor, gate and up in another
    bf16_vectors: bool = False  # norms and biases are BF16 values
    types: tuple = ("F32",)
    folders: tuple = ("F32",)  # types of its folders of Hugging Face
    n_files: int = 0  # of one more folder, with F32 in so many files


LLAMA3_SCALING = dict(factor=8.0, low=1.0, high=4.0, original=64)

SPECS = [
    Spec("tiny-9", 2, 288, 9, 3, 32, 768, tied=False, types=tuple(ALL_TYPES)),  # 3 attention leaves
    # 8 leaves; those of attention output begin inside super-blocks.
    Spec("tiny-tp", 2, 256, 16, 8, 16, 512, tied=False, n_files=3,
         types=("F32", "Q8_0", "Q4_1", *k_quants.TYPES)),
    Spec("tiny-l31", 2, 64, 4, 2, 16, 128, rope_scaling=LLAMA3_SCALING),
    Spec("tiny-qw2-tied", 2, 64, 4, 2, 16, 128, arch="qwen2", eps=1e-6, bias=True),
    Spec("tiny-qw2-untied", 2, 64, 4, 2, 16, 128, arch="qwen2", eps=1e-6, bias=True, tied=False),
    Spec("tiny-hd", 2, 64, 4, 2, 32, 128, tied=False),  # heads wider than hidden_dim / n_heads
    Spec("tiny-rot", 2, 64, 4, 2, 16, 128, arch="qwen2", bias=True, n_rot=8, tied=False,
         folders=()),
    Spec("tiny-bias", 2, 96, 6, 3, 16, 96, bias=True, bf16_vectors=True, types=("F32", "BF16"),
         folders=("F32", "BF16")),
    Spec("tiny-qw3", 2, 64, 4, 2, 32, 128, arch="qwen3", eps=1e-6, qk_norm=True,
         types=("F32", "Q8_0")),
    Spec("tiny-smollm3", 5, 64, 4, 2, 16, 128, arch="smollm3", types=("F32", "Q8_0")),
    Spec("tiny-phi3", 2, 64, 4, 4, 16, 128, arch="phi3", tied=False, fused=True, n_rot=12,
         window=20, types=("F32", "Q8_0")),
    Spec("tiny-mistral", 2, 64, 4, 2, 16, 128, window=20, tied=False),
    # 8 FFN leaves of 64 blocks each: the 16-lane order of sums.
    Spec("tiny-long", 1, 32, 2, 1, 16, 16384, types=("F32", "Q8_0", "Q4_1"),
         folders=()),
]
MID = Spec("mid", 8, 512, 8, 2, 64, 2048, vocab_size=8192, tied=False, folders=())


def llama3_divisors(spec: Spec) -> np.ndarray:
    """Frequency divisors of Llama 3.1 (Meta's reference code; Hugging Face `rope_type: llama3`)."""
    s, n_rot = spec.rope_scaling, spec.n_rot or spec.head_dim
    freq = spec.theta ** (-np.arange(0, n_rot, 2, dtype=np.float64) / n_rot)
    turns = s["original"] * freq / (2 * np.pi)  # rotations inside the original context
    smooth = np.clip((turns - s["low"]) / (s["high"] - s["low"]), 0.0, 1.0)
    return (1.0 / ((1 - smooth) / s["factor"] + smooth)).astype(np.float32)


def make_weights(spec: Spec) -> dict[str, np.ndarray]:
    """Weights N(0, 1/sqrt(fan_in)), norms 1 + 0.1 N, biases N(0, 0.5). Shapes [rows, columns]."""
    rng = np.random.default_rng([SEED, zlib.crc32(spec.name.encode())])
    q_dim, kv_dim = spec.n_heads * spec.head_dim, spec.n_kv_heads * spec.head_dim
    d = spec.hidden_dim

    def matrix(rows: int, columns: int) -> np.ndarray:
        return rng.normal(0, columns ** -0.5, (rows, columns)).astype(np.float32)

    def norm(size: int = d) -> np.ndarray:
        return (1 + 0.1 * rng.normal(size=size)).astype(np.float32)

    weights = {"token_embd.weight": matrix(spec.vocab_size, d)}
    for layer in range(spec.n_layers):
        blk = f"blk.{layer}."
        weights[blk + "attn_norm.weight"] = norm()
        fused = {"qkv": q_dim + 2 * kv_dim}
        for name, rows in (fused if spec.fused else {"q": q_dim, "k": kv_dim, "v": kv_dim}).items():
            weights[f"{blk}attn_{name}.weight"] = matrix(rows, d)
            if spec.bias:
                weights[f"{blk}attn_{name}.bias"] = rng.normal(0, 0.5, rows).astype(np.float32)
        if spec.qk_norm:
            weights[blk + "attn_q_norm.weight"] = norm(spec.head_dim)
            weights[blk + "attn_k_norm.weight"] = norm(spec.head_dim)
        weights[blk + "attn_output.weight"] = matrix(d, q_dim)
        weights[blk + "ffn_norm.weight"] = norm()
        if spec.fused:
            weights[blk + "ffn_up.weight"] = matrix(2 * spec.ffn_dim, d)
        else:
            weights[blk + "ffn_gate.weight"] = matrix(spec.ffn_dim, d)
            weights[blk + "ffn_up.weight"] = matrix(spec.ffn_dim, d)
        weights[blk + "ffn_down.weight"] = matrix(d, spec.ffn_dim)
    weights["output_norm.weight"] = norm()
    if not spec.tied:
        weights["output.weight"] = matrix(spec.vocab_size, d)
    if spec.bf16_vectors:
        for values in weights.values():
            if values.ndim == 1:
                values.view(np.uint32)[:] &= 0xffff0000
    if spec.rope_scaling:
        weights["rope_freqs.weight"] = llama3_divisors(spec)
    return weights


def write_gguf(path: pathlib.Path, spec: Spec, weights: dict[str, np.ndarray], type_name: str) -> None:
    """Matrices as `type_name`, vectors as F32."""
    kind = GGMLQuantizationType[type_name]
    writer = GGUFWriter(path, spec.arch)
    writer.add_name(f"{spec.name} {type_name}")
    writer.add_block_count(spec.n_layers)
    writer.add_context_length(spec.context_length)
    writer.add_embedding_length(spec.hidden_dim)
    writer.add_feed_forward_length(spec.ffn_dim)
    writer.add_head_count(spec.n_heads)
    writer.add_head_count_kv(spec.n_kv_heads)
    writer.add_layer_norm_rms_eps(spec.eps)
    writer.add_rope_freq_base(spec.theta)
    writer.add_rope_dimension_count(spec.n_rot or spec.head_dim)
    if spec.head_dim * spec.n_heads != spec.hidden_dim:
        writer.add_key_length(spec.head_dim)
        writer.add_value_length(spec.head_dim)
    if spec.window:
        writer.add_sliding_window(spec.window)
    add_tokenizer(writer, spec.vocab_size)
    for name, values in weights.items():
        if values.ndim == 1 or type_name == "F32":
            writer.add_tensor(name, values)
        elif type_name in k_quants.TYPES:
            writer.add_tensor(name, k_quants.quantize(values, type_name), raw_dtype=kind)
        else:
            writer.add_tensor(name, quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def greedy_run(oracle: Oracle, prompt: list[int]) -> list[int] | None:
    """The exact greedy continuation, or None where another one is close."""
    ids = list(prompt)
    for _ in range(N_GREEDY):
        row = oracle.logits(ids)[-1]
        second, best = np.partition(row, -2)[-2:]
        if best - second < MIN_MARGIN:
            return None
        ids.append(int(row.argmax()))
    return ids[len(prompt):]


def pick_prompt(oracle: Oracle, spec: Spec, length: int, rng) -> tuple[list[int], list[int]]:
    """A random prompt of plain tokens and its greedy continuation."""
    candidates = []
    while len(candidates) < N_CANDIDATES:
        prompt = rng.integers(len(SPECIAL), spec.vocab_size, length).tolist()
        if greedy := greedy_run(oracle, prompt):
            candidates.append((prompt, greedy))
            if len(set(greedy)) > N_GREEDY // 3:
                break
    return max(candidates, key=lambda candidate: len(set(candidate[1])))


def write_logits(path: pathlib.Path, spec: Spec, model: pathlib.Path) -> None:
    oracle = Oracle(str(model))
    rng = np.random.default_rng([SEED, zlib.crc32(spec.name.encode()), 1])
    cases, rows = [], []
    for length in PROMPT_LENGTHS:
        prompt, greedy = pick_prompt(oracle, spec, length, rng)
        logits = oracle.logits(prompt + greedy)
        cases.append(dict(prompt=prompt, greedy=greedy, first_row=sum(map(len, rows)),
                          n_rows=len(logits)))
        rows.append(logits)
    path.with_suffix(".logits.bin").write_bytes(np.concatenate(rows).astype("<f8").tobytes())
    index = dict(model=model.name, vocab_size=spec.vocab_size, cases=cases)
    path.with_suffix(".logits.json").write_text(json.dumps(index) + "\n")


def make(out: pathlib.Path, spec: Spec) -> None:
    weights = make_weights(spec)
    for type_name in spec.types:
        write_gguf(out / f"{spec.name}-{type_name.lower()}.gguf", spec, weights, type_name)
    for type_name in spec.folders:
        write_hf(out / f"{spec.name}-{type_name.lower()}", spec, weights, type_name)
    if spec.n_files:
        write_hf(out / f"{spec.name}-f32-{spec.n_files}-files", spec, weights, "F32", spec.n_files)
    if spec is not MID:
        write_logits(out / spec.name, spec, out / f"{spec.name}-f32.gguf")


def digest_of_generator() -> str:
    sources = sorted(pathlib.Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--mid", action="store_true", help="also write the 155 MB model")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    stamp = arguments.out / "stamp"
    made_by = f"{digest_of_generator()} {arguments.mid}\n"
    if stamp.exists() and stamp.read_text() == made_by:
        stamp.touch()  # another build has made them
        return
    for spec in SPECS + ([MID] if arguments.mid else []):
        make(arguments.out, spec)
    k_quants.write_golden(arguments.out)
    stamp.write_text(made_by)


if __name__ == "__main__":
    main()
