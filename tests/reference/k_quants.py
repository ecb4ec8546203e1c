"""K-quants for the tests, which gguf (PyPI) reads but does not write: quantize() makes plain
super-blocks of floats (docs/numerics.md, section 2), write_golden() random ones with their values.

llama.cpp searches for better scales; nothing here depends on how good they are.
"""
import pathlib

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

TYPES = ["Q4_K", "Q5_K", "Q6_K"]
SEED = 20261201
N_GOLDEN = 64  # super-blocks of each type


def _f16_bytes(values: np.ndarray) -> np.ndarray:
    return values.astype("<f2").view(np.uint8).reshape(len(values), 2)


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a / b, and 0 where b is 0."""
    return np.divide(a, b, out=np.zeros(np.broadcast_shapes(a.shape, b.shape), np.float32),
                     where=b != 0)


def _pack_six_bits(sc: np.ndarray, m: np.ndarray) -> np.ndarray:
    """The 12 bytes of the scales and minimums of 8 blocks each."""
    low = np.concatenate([sc[:, :4] | (sc[:, 4:] >> 4) << 6, m[:, :4] | (m[:, 4:] >> 4) << 6], 1)
    return np.concatenate([low, (sc[:, 4:] & 15) | (m[:, 4:] & 15) << 4], 1).astype(np.uint8)


def _with_minimum(x: np.ndarray, n_bits: int) -> np.ndarray:
    """Super-blocks of Q4_K (n_bits 4) and Q5_K (5). x: [n, 8, 32]."""
    top = 2 ** n_bits - 1
    least = np.minimum(x.min(-1), 0)
    scale, minimum = (x.max(-1) - least) / top, -least
    d = (scale.max(-1, keepdims=True) / 63).astype(np.float16)
    dmin = (minimum.max(-1, keepdims=True) / 63).astype(np.float16)
    d32, dmin32 = d.astype(np.float32), dmin.astype(np.float32)
    sc = np.clip(np.rint(_ratio(scale, d32)), 0, 63).astype(np.uint8)
    m = np.clip(np.rint(_ratio(minimum, dmin32)), 0, 63).astype(np.uint8)
    q = np.rint(_ratio(x + (dmin32 * m)[..., None], (d32 * sc)[..., None]))
    q = np.clip(q, 0, top).astype(np.uint8)
    parts = [_f16_bytes(d), _f16_bytes(dmin), _pack_six_bits(sc, m)]
    if n_bits == 5:
        parts.append(sum((q[:, b] >> 4) << b for b in range(8)).astype(np.uint8))
    low = q & 15
    parts.append((low[:, 0::2] | low[:, 1::2] << 4).reshape(len(x), 128))
    return np.concatenate(parts, 1)


def _six_bits(x: np.ndarray) -> np.ndarray:
    """Super-blocks of Q6_K. x: [n, 8, 32]."""
    x = x.reshape(len(x), 16, 16)
    scale = np.abs(x).max(-1) / 31
    d = (scale.max(-1, keepdims=True) / 127).astype(np.float16)
    sc = np.clip(np.rint(_ratio(scale, d.astype(np.float32))), -128, 127).astype(np.int8)
    q = np.rint(_ratio(x, (d.astype(np.float32) * sc)[..., None]))
    q = (np.clip(q, -32, 31) + 32).astype(np.uint8).reshape(len(x), 2, 4, 32)  # [half][c][k]
    low, high = q & 15, q >> 4
    low = low[:, :, :2] | low[:, :, 2:] << 4
    high = sum(high[:, :, c] << 2 * c for c in range(4)).astype(np.uint8)
    return np.concatenate([low.reshape(len(x), 128), high.reshape(len(x), 64), sc.view(np.uint8),
                           _f16_bytes(d)], 1)


def quantize(values: np.ndarray, type_name: str) -> np.ndarray:
    """The bytes of each row, [rows, bytes]. values: [rows, a multiple of 256]."""
    x = values.astype(np.float32).reshape(-1, 8, 32)
    blocks = _six_bits(x) if type_name == "Q6_K" else _with_minimum(x, int(type_name[1]))
    return blocks.reshape(len(values), -1)


def write_golden(out: pathlib.Path) -> None:
    """k_quants.TYPE.blocks: N_GOLDEN super-blocks of random bits, with finite d and dmin; and
    k_quants.TYPE.f32: their values as gguf gives them, little-endian."""
    rng = np.random.default_rng(SEED)
    for name in TYPES:
        kind = GGMLQuantizationType[name]
        n_bytes = GGML_QUANT_SIZES[kind][1]
        blocks = rng.integers(0, 256, (N_GOLDEN, n_bytes), dtype=np.uint8)
        floats = (208,) if name == "Q6_K" else (0, 2)
        for at in floats:
            d = rng.normal(0, 0.02, N_GOLDEN)
            d[:4] = 0, -0.0, 3.1e-7, 65504
            blocks[:, at:at + 2] = _f16_bytes(d)
        values = dequantize(blocks, kind)
        (out / f"k_quants.{name.lower()}.blocks").write_bytes(blocks.tobytes())
        (out / f"k_quants.{name.lower()}.f32").write_bytes(values.astype("<f4").tobytes())
