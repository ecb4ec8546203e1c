"""The tiny models as folders of Hugging Face: config.json, safetensors, tokenizer.json.

The rows of q and k go back to where Hugging Face has them: a converter to GGUF reorders those of llama
and smollm3 (gguf[h, 2j + b] = hf[h, b d/2 + j]), so that neighbours rotate together."""
import json
import pathlib
import re

import numpy as np
from gguf import GGMLQuantizationType
from gguf.quants import quantize
from tiny_tokenizer import CHAT_TEMPLATE, CONTROL, SPECIAL, vocabulary

NAMES = {
    "token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight", "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm", "attn_output": "self_attn.o_proj",
    "attn_qkv": "self_attn.qkv_proj", "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
CLASSES = {"llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM",
           "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM",
           "smollm3": "SmolLM3ForCausalLM", "phi3": "Phi3ForCausalLM"}


def hf_name(spec, name: str) -> str:
    layer = re.fullmatch(r"blk\.(\d+)\.(\w+)\.(weight|bias)", name)
    if layer is None:
        return NAMES[name]
    number, part, kind = layer.groups()
    inside = "mlp.gate_up_proj" if spec.fused and part == "ffn_up" else NAMES[part]
    return f"model.layers.{number}.{inside}.{kind}"


def to_halves(rows: np.ndarray, head_dim: int) -> np.ndarray:
    """The even rows of each head, then the odd ones."""
    heads = rows.reshape(-1, head_dim // 2, 2, *rows.shape[1:])
    return heads.swapaxes(1, 2).reshape(rows.shape)


def hf_weights(spec, weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    out = {}
    for name, values in weights.items():
        if name == "rope_freqs.weight":
            continue  # follows from config.json
        if spec.arch in ("llama", "smollm3") and re.search(r"attn_[qk]\.", name):
            values = to_halves(values, spec.head_dim)
        out[hf_name(spec, name)] = values
    return out


def write_safetensors(path: pathlib.Path, tensors: dict[str, np.ndarray], dtype: str,
                      odd: bool = False) -> None:
    """odd: the data begin at an odd offset, which the format allows."""
    header, data = {"__metadata__": {"format": "pt"}}, []
    end = 0
    for name, values in tensors.items():
        raw = values.tobytes() if dtype == "F32" else \
            quantize(values, GGMLQuantizationType[dtype]).tobytes()
        header[name] = dict(dtype=dtype, shape=list(values.shape),
                            data_offsets=[end, end + len(raw)])
        end += len(raw)
        data.append(raw)
    text = json.dumps(header).encode()
    text += b" " * (len(text) % 2 == 0 if odd else -len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(data))


def write_shards(folder: pathlib.Path, tensors: dict[str, np.ndarray], dtype: str, n: int) -> None:
    names = list(tensors)
    files = {name: f"model-{1 + i * n // len(names):05}-of-{n:05}.safetensors"
             for i, name in enumerate(names)}
    for file in sorted(set(files.values())):
        mine = {name: tensors[name] for name in names if files[name] == file}
        write_safetensors(folder / file, mine, dtype, odd=True)
    index = dict(metadata=dict(total_size=0), weight_map=files)
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def config(spec, newer: bool) -> dict:
    """newer: as transformers 5 writes it, with rope_parameters."""
    model_type = "mistral" if spec.window and spec.arch == "llama" else spec.arch
    out = dict(
        architectures=[CLASSES[model_type]], model_type=model_type, vocab_size=spec.vocab_size,
        hidden_size=spec.hidden_dim, intermediate_size=spec.ffn_dim,
        num_hidden_layers=spec.n_layers, num_attention_heads=spec.n_heads,
        num_key_value_heads=spec.n_kv_heads, hidden_act="silu",
        max_position_embeddings=spec.context_length, rms_norm_eps=spec.eps,
        tie_word_embeddings=spec.tied, bos_token_id=1, eos_token_id=2, attention_dropout=0.0,
        initializer_range=0.02, use_cache=True, transformers_version="5.0.0" if newer else "4.51.0",
        sliding_window=spec.window or None)
    out["dtype" if newer else "torch_dtype"] = "float32"
    if spec.head_dim * spec.n_heads != spec.hidden_dim:
        out["head_dim"] = spec.head_dim
    if spec.bias and model_type != "qwen2":
        out["attention_bias"] = True
    if model_type.startswith(("qwen", "smollm")):
        out.update(use_sliding_window=False, sliding_window=64, max_window_layers=0)
    if model_type == "smollm3":
        out.update(no_rope_layer_interval=4,
                   no_rope_layers=[int(i % 4 != 3) for i in range(spec.n_layers)])
    rope = {}
    if spec.rope_scaling:
        s = spec.rope_scaling
        rope = dict(rope_type="llama3", factor=s["factor"], low_freq_factor=s["low"],
                    high_freq_factor=s["high"], original_max_position_embeddings=s["original"])
    part = {"partial_rotary_factor": spec.n_rot / spec.head_dim} if spec.n_rot else {}
    if newer:
        out["rope_parameters"] = dict(rope or dict(rope_type="default"), rope_theta=spec.theta,
                                      **part)
    else:
        out.update(rope_theta=spec.theta, rope_scaling=rope or None, **part)
    return out


def tokenizer(vocab_size: int, newer: bool) -> dict:
    """newer: merges are pairs, not strings."""
    tokens, _, merges = vocabulary(vocab_size)
    ids = {token: i for i, token in enumerate(tokens)}
    added = [dict(id=ids[name], content=name, single_word=False, lstrip=False, rstrip=False,
                  normalized=False, special=kind == CONTROL) for name, kind in SPECIAL]
    byte_level = dict(type="ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=True)
    names = {name for name, _ in SPECIAL}
    return dict(
        version="1.0", truncation=None, padding=None, added_tokens=added, normalizer=None,
        pre_tokenizer=byte_level, post_processor=None, decoder=byte_level,
        model=dict(type="BPE", dropout=None, unk_token=None, continuing_subword_prefix="",
                   end_of_word_suffix="", fuse_unk=False, byte_fallback=False, ignore_merges=False,
                   vocab={token: i for token, i in ids.items() if token not in names},
                   merges=[list(m) if newer else " ".join(m) for m in merges]))


def write_hf(folder: pathlib.Path, spec, weights: dict[str, np.ndarray], dtype: str,
             n_shards: int = 1) -> None:
    newer = dtype != "F32" or n_shards > 1
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()

    def write(name: str, content: dict) -> None:
        (folder / name).write_text(json.dumps(content, indent=2) + "\n")

    write("config.json", config(spec, newer))
    write("generation_config.json", dict(bos_token_id=1, eos_token_id=[2, 0], max_new_tokens=99))
    write("tokenizer.json", tokenizer(spec.vocab_size, newer))
    names = dict(bos_token="<|im_start|>", eos_token=dict(content="<|im_end|>", special=True),
                 unk_token="<|endoftext|>", pad_token="<|im_end|>", add_bos_token=False,
                 tokenizer_class="GPT2Tokenizer", model_max_length=spec.context_length)
    if newer:
        (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    else:
        names["chat_template"] = CHAT_TEMPLATE
    write("tokenizer_config.json", names)
    tensors = hf_weights(spec, weights)
    if n_shards == 1:
        write_safetensors(folder / "model.safetensors", tensors, dtype)
    else:
        write_shards(folder, tensors, dtype, n_shards)
