#!/usr/bin/env python3
"""The forward pass of a GGUF model in float64, without a cache: what exact arithmetic answers.

    oracle.py MODEL.gguf TOKEN_ID…            logits of the last position: top 5 and log-probabilities
    oracle.py MODEL.gguf --golden FILE.json   compares a golden of llama.cpp (tests/golden) with it

Covers what the engine loads: architectures llama, qwen2, qwen3, smollm3 and phi3, quantised tensors
dequantised. It shares no code with the engine and no idea either: whole sequences, whole matrices,
libm. Needs numpy and gguf (PyPI).
"""
import json
import sys

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize


class Oracle:
    """One model; `logits(ids)` gives float64 [len(ids), vocab_size], row t follows ids[: t + 1]."""

    def __init__(self, path: str):
        reader = GGUFReader(path)
        self.fields = {k: f.contents() for k, f in reader.fields.items()
                       if not k.startswith("tokenizer.")}
        self.weights = {t.name: dequantize(t.data, t.tensor_type).astype(np.float64)
                        for t in reader.tensors}
        self.arch = self.fields["general.architecture"]
        self.n_layers = self.key("block_count")
        self.n_heads = self.key("attention.head_count")
        self.n_kv_heads = self.key("attention.head_count_kv", self.n_heads)
        self.head_dim = self.key("attention.key_length", self.key("embedding_length") // self.n_heads)
        self.window = self.key("attention.sliding_window", 0)
        self.eps = float(self.key("attention.layer_norm_rms_epsilon"))
        self.inv_freq = self._inverse_frequencies()

    def key(self, name: str, default=None):
        value = self.fields.get(f"{self.arch}.{name}", default)
        if value is None:
            raise KeyError(f"{self.arch}.{name}")
        return value

    def _inverse_frequencies(self) -> np.ndarray:
        """[n_rot / 2]; rope_freqs.weight and linear scaling divide."""
        n_rot = self.key("rope.dimension_count", self.head_dim)
        theta = float(self.key("rope.freq_base", 10000.0))
        inv_freq = theta ** (-np.arange(0, n_rot, 2, dtype=np.float64) / n_rot)
        if "rope_freqs.weight" in self.weights:
            inv_freq = inv_freq / self.weights["rope_freqs.weight"]
        if self.key("rope.scaling.type", "linear") == "linear":
            inv_freq = inv_freq / float(self.key("rope.scaling.factor", 1.0))
        return inv_freq

    def rope(self, x: np.ndarray) -> np.ndarray:
        """[n_tokens, heads, head_dim]. llama and smollm3 rotate neighbours (2i, 2i+1), the
        others (i, i + n_rot/2)."""
        half = len(self.inv_freq)
        neighbours = self.arch in ("llama", "smollm3")
        first = np.arange(half) * 2 if neighbours else np.arange(half)
        second = first + 1 if neighbours else first + half
        angle = np.arange(len(x))[:, None, None] * self.inv_freq
        cos, sin = np.cos(angle), np.sin(angle)
        a, b = x[..., first], x[..., second]
        y = x.copy()
        y[..., first] = a * cos - b * sin
        y[..., second] = a * sin + b * cos
        return y

    def norm(self, x: np.ndarray, name: str) -> np.ndarray:
        rms = np.sqrt((x * x).mean(-1, keepdims=True) + self.eps)
        return x / rms * self.weights[name]

    def linear(self, x: np.ndarray, name: str) -> np.ndarray:
        y = x @ self.weights[name + ".weight"].T
        return y + self.weights.get(name + ".bias", 0.0)

    def query_key_value(self, x: np.ndarray, blk: str) -> list[np.ndarray]:
        """Each [len(x), heads, head_dim], normalised where the model has norms, before RoPE."""
        heads = [self.n_heads, self.n_kv_heads, self.n_kv_heads]
        if blk + "attn_qkv.weight" in self.weights:
            ends = np.cumsum(heads)[:2] * self.head_dim
            parts = np.split(self.linear(x, blk + "attn_qkv"), ends, axis=1)
        else:
            parts = [self.linear(x, blk + name) for name in ("attn_q", "attn_k", "attn_v")]
        parts = [p.reshape(len(x), n, self.head_dim) for p, n in zip(parts, heads, strict=True)]
        for i, name in enumerate(("attn_q_norm.weight", "attn_k_norm.weight")):
            if blk + name in self.weights:
                parts[i] = self.norm(parts[i], blk + name)
        return parts

    def attention(self, x: np.ndarray, layer: int) -> np.ndarray:
        n, heads, kv, dim = len(x), self.n_heads, self.n_kv_heads, self.head_dim
        blk = f"blk.{layer}."
        q, k, v = self.query_key_value(x, blk)
        if self.arch != "smollm3" or layer % 4 != 3:  # SmolLM3: no positions in each fourth layer
            q, k = self.rope(q), self.rope(k)
        k, v = (np.repeat(t, heads // kv, axis=1) for t in (k, v))
        scores = np.einsum("thd,shd->hts", q, k) / np.sqrt(dim)
        age = np.arange(n)[:, None] - np.arange(n)
        scores[:, (age < 0) | ((age >= self.window) if self.window else False)] = -np.inf
        p = np.exp(scores - scores.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        return self.linear(np.einsum("hts,shd->thd", p, v).reshape(n, heads * dim), blk + "attn_output")

    def feed_forward(self, x: np.ndarray, blk: str) -> np.ndarray:
        up = self.linear(x, blk + "ffn_up")
        if blk + "ffn_gate.weight" in self.weights:
            gate = self.linear(x, blk + "ffn_gate")
        else:
            gate, up = np.split(up, 2, axis=1)
        return self.linear(gate / (1 + np.exp(-gate)) * up, blk + "ffn_down")

    def logits(self, ids: list[int]) -> np.ndarray:
        x = self.weights["token_embd.weight"][ids]
        for layer in range(self.n_layers):
            blk = f"blk.{layer}."
            x = x + self.attention(self.norm(x, blk + "attn_norm.weight"), layer)
            x = x + self.feed_forward(self.norm(x, blk + "ffn_norm.weight"), blk)
        x = self.norm(x, "output_norm.weight")
        return x @ self.weights.get("output.weight", self.weights["token_embd.weight"]).T


def log_softmax(z: np.ndarray) -> np.ndarray:
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def compare_golden(oracle: Oracle, path: str) -> None:
    """How far a golden's log-probabilities are from exact arithmetic."""
    golden = json.load(open(path))
    worst, n, n_other = 0.0, 0, 0
    for case in golden["cases"]:
        prompt, ids = case["prompt_ids"], case["ids"]
        rows = log_softmax(oracle.logits(prompt + ids[:-1]))[len(prompt) - 1:]
        for row, top in zip(rows, case["top10"], strict=True):
            worst = max(worst, *(abs(row[i] - value) for i, value in top))
            n_other += int(row.argmax()) != top[0][0]
            n += 1
    print(f"{n} positions: largest |difference| {worst:.2e}, other argmax {n_other}")


def main(arguments: list[str]) -> None:
    oracle = Oracle(arguments[0])
    if arguments[1] == "--golden":
        return compare_golden(oracle, arguments[2])
    row = log_softmax(oracle.logits([int(a) for a in arguments[1:]]))[-1]
    for token in np.argsort(-row)[:5]:
        print(f"{token:8d} {row[token]:.6f}")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(sys.argv[1:])
