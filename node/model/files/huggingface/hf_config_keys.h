// The keys of config.json that are known: those that are read, and those that cannot change a
// token.
#pragma once

#include <string_view>

namespace lockstep::hf {

// Keys that read_config() or read_rope() reads. Any key that neither this list nor the next one has
// is refused: a scale or a window that is silently ignored gives wrong tokens and no error.
inline constexpr std::string_view kReadKeys[] = {
    "architectures",
    "attention_bias",
    "head_dim",
    "hidden_act",
    "hidden_size",
    "intermediate_size",
    "is_encoder_decoder",
    "layer_types",
    "max_position_embeddings",
    "max_window_layers",
    "mlp_bias",
    "model_type",
    "no_rope_layer_interval",
    "no_rope_layers",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "partial_rotary_factor",
    "quantization_config",
    "rms_norm_eps",
    "rope_interleaved",
    "rope_parameters",
    "rope_scaling",
    "rope_theta",
    "sliding_window",
    "tie_word_embeddings",
    "use_mrope",
    "use_sliding_window",
    "vocab_size",
    // read with the tokenizer
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "unk_token_id",
};

// Keys that cannot change a token: they are about training, Python, the form of an answer, or
// sampling.
inline constexpr std::string_view kIgnoredKeys[] = {
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_name_or_path",
    "attention_dropout",
    "attn_implementation",
    "attn_pdrop",
    "auto_map",
    "do_sample",
    "dtype",
    "embd_pdrop",
    "gradient_checkpointing",
    "id2label",
    "initializer_range",
    "is_decoder",
    "is_llama_config",
    "label2id",
    "max_length",
    "name_or_path",
    "original_max_position_embeddings",  // used only with kinds of RoPE that are refused
    "output_attentions",
    "output_hidden_states",
    "pretraining_tp",  // cuts products, whose sums are the same
    "repetition_penalty",
    "resid_pdrop",
    "return_dict",
    "temperature",
    "top_k",
    "top_p",
    "torch_dtype",
    "transformers.js_config",
    "transformers_version",
    "unsloth_fixed",
    "unsloth_version",
    "use_cache",
};

}  // namespace lockstep::hf
