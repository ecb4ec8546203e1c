#include "tests/support/gguf_builder.h"

#include <algorithm>
#include <stdexcept>

namespace lockstep::testing {
namespace {

constexpr uint64_t kAlignment = 32;
enum GgufType : uint32_t {
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10
};

uint64_t aligned(uint64_t n) { return (n + kAlignment - 1) / kAlignment * kAlignment; }

template <class T>
Bytes number_bytes(T value) {
  Bytes bytes;
  append_number(bytes, value);
  return bytes;
}

Bytes array_head(GgufType element, uint64_t n) {
  Bytes bytes = number_bytes<uint32_t>(element);
  append_number(bytes, n);
  return bytes;
}

// Returns the element called `name`. An unknown name is a bug in the test.
template <class List>
auto& named(List& list, const std::string& name) {
  const auto found =
      std::find_if(list.begin(), list.end(), [&](const auto& entry) { return entry.name == name; });
  if (found == list.end()) throw std::out_of_range("no entry " + name);
  return *found;
}

template <class List>
void erase_named(List& list, const std::string& name) {
  list.erase(list.begin() + (&named(list, name) - list.data()));
}

}  // namespace

void append_string(Bytes& bytes, std::string_view text) {
  append_number<uint64_t>(bytes, text.size());
  const auto* begin = reinterpret_cast<const std::byte*>(text.data());
  bytes.insert(bytes.end(), begin, begin + text.size());
}

GgufBuilder GgufBuilder::tiny_spm() {
  GgufBuilder b = tiny_llama();
  b.set_string("tokenizer.ggml.model", "llama");
  b.set_string("tokenizer.ggml.pre", "default");
  b.set_strings("tokenizer.ggml.tokens",
                {"<unk>", "<s>", "</s>", "a", "b", "ab", "\u2581", "<|end|>"});
  b.set_i32s("tokenizer.ggml.token_type", {2, 3, 3, 1, 1, 1, 1, 4});
  b.set_f32s("tokenizer.ggml.scores", {0, 0, 0, -2, -3, -1, -4, 0});
  b.set_u32("tokenizer.ggml.eos_token_id", 2);
  b.remove_key("tokenizer.ggml.merges");
  return b;
}

GgufBuilder GgufBuilder::tiny_llama(const std::string& architecture) {
  GgufBuilder b;
  b.set_string("general.architecture", architecture);
  b.set_string("general.name", "tiny");
  b.set_u32(architecture + ".block_count", 1);
  b.set_u32(architecture + ".context_length", 128);
  b.set_u32(architecture + ".embedding_length", 32);
  b.set_u32(architecture + ".feed_forward_length", 64);
  b.set_u32(architecture + ".attention.head_count", 2);
  b.set_u32(architecture + ".attention.head_count_kv", 1);
  b.set_f32(architecture + ".attention.layer_norm_rms_epsilon", 1e-5f);
  b.set_string("tokenizer.ggml.model", "gpt2");
  b.set_string("tokenizer.ggml.pre", "gpt-2");
  b.set_strings("tokenizer.ggml.tokens",
                {"<|im_start|>", "<|im_end|>", "a", "b", "c", "d", "ab", "cd"});
  b.set_i32s("tokenizer.ggml.token_type", {3, 3, 1, 1, 1, 1, 1, 1});
  b.set_strings("tokenizer.ggml.merges", {"a b", "c d"});
  b.set_u32("tokenizer.ggml.eos_token_id", 1);
  b.add_f32("token_embd.weight", {32, 8});
  b.add_f32("output_norm.weight", {32});
  b.add_f32("blk.0.attn_norm.weight", {32});
  b.add_f32("blk.0.attn_q.weight", {32, 32});
  b.add_f32("blk.0.attn_k.weight", {32, 16});
  b.add_f32("blk.0.attn_v.weight", {32, 16});
  b.add_f32("blk.0.attn_output.weight", {32, 32});
  b.add_f32("blk.0.ffn_norm.weight", {32});
  b.add_f32("blk.0.ffn_gate.weight", {32, 64});
  b.add_f32("blk.0.ffn_up.weight", {32, 64});
  b.add_f32("blk.0.ffn_down.weight", {64, 32});
  return b;
}

void GgufBuilder::set_u32(const std::string& key, uint32_t value) {
  set_raw(key, kU32, number_bytes(value));
}
void GgufBuilder::set_u64(const std::string& key, uint64_t value) {
  set_raw(key, kU64, number_bytes(value));
}
void GgufBuilder::set_i32(const std::string& key, int32_t value) {
  set_raw(key, kI32, number_bytes(value));
}
void GgufBuilder::set_f32(const std::string& key, float value) {
  set_raw(key, kF32, number_bytes(value));
}
void GgufBuilder::set_bool(const std::string& key, bool value) {
  set_raw(key, kBool, number_bytes<uint8_t>(value ? 1 : 0));
}
void GgufBuilder::set_string(const std::string& key, std::string_view value) {
  Bytes bytes;
  append_string(bytes, value);
  set_raw(key, kString, bytes);
}
void GgufBuilder::set_strings(const std::string& key, const std::vector<std::string>& values) {
  Bytes bytes = array_head(kString, values.size());
  for (const std::string& value : values) append_string(bytes, value);
  set_raw(key, kArray, bytes);
}
void GgufBuilder::set_f32s(const std::string& key, const std::vector<float>& values) {
  Bytes bytes = array_head(kF32, values.size());
  for (const float value : values) append_number(bytes, value);
  set_raw(key, kArray, bytes);
}

void GgufBuilder::set_i32s(const std::string& key, const std::vector<int32_t>& values) {
  Bytes bytes = array_head(kI32, values.size());
  for (const int32_t value : values) append_number(bytes, value);
  set_raw(key, kArray, bytes);
}

void GgufBuilder::set_raw(const std::string& key, uint32_t type, Bytes value) {
  for (Key& existing : keys_) {
    if (existing.name != key) continue;
    existing = {key, type, std::move(value)};
    return;
  }
  keys_.push_back({key, type, std::move(value)});
}

void GgufBuilder::repeat_key(const std::string& key) { keys_.push_back(Key(named(keys_, key))); }
void GgufBuilder::remove_key(const std::string& key) { erase_named(keys_, key); }

void GgufBuilder::add_f32(const std::string& name, const std::vector<uint64_t>& dims) {
  uint64_t n_bytes = sizeof(float);
  for (const uint64_t dim : dims) n_bytes *= dim;
  tensors_.push_back({.name = name, .dims = dims, .type = 0, .n_bytes = n_bytes, .offset = {}});
}

GgufTensor& GgufBuilder::tensor(const std::string& name) { return named(tensors_, name); }
void GgufBuilder::repeat_tensor(const std::string& name) {
  tensors_.push_back(GgufTensor(named(tensors_, name)));
}
void GgufBuilder::remove_tensor(const std::string& name) { erase_named(tensors_, name); }

void GgufBuilder::set_data(const std::string& name, const std::vector<float>& values) {
  data_.push_back({name, values});
}

Bytes GgufBuilder::header() const {
  Bytes bytes;
  for (const char c : magic) bytes.push_back(static_cast<std::byte>(c));
  append_number(bytes, version);
  append_number<uint64_t>(bytes, n_tensors.value_or(tensors_.size()));
  append_number<uint64_t>(bytes, n_keys.value_or(keys_.size()));
  for (const Key& key : keys_) {
    append_string(bytes, key.name);
    append_number(bytes, key.type);
    bytes.insert(bytes.end(), key.value.begin(), key.value.end());
  }
  uint64_t offset = 0;
  for (const GgufTensor& tensor : tensors_) {
    append_string(bytes, tensor.name);
    append_number(bytes, static_cast<uint32_t>(tensor.dims.size()));
    for (const uint64_t dim : tensor.dims) append_number(bytes, dim);
    append_number(bytes, tensor.type);
    append_number(bytes, tensor.offset.value_or(offset));
    offset = aligned(offset + tensor.n_bytes);
  }
  return bytes;
}

size_t GgufBuilder::data_start() const { return aligned(header().size()); }

Bytes GgufBuilder::build() const {
  Bytes bytes = header();
  const uint64_t start = aligned(bytes.size());
  uint64_t offset = 0;
  for (const GgufTensor& tensor : tensors_) {
    const uint64_t end = offset + tensor.n_bytes;
    bytes.resize(start + end);
    for (const Data& data : data_) {
      if (data.tensor != tensor.name) continue;
      std::memcpy(bytes.data() + start + offset, data.values.data(),
                  data.values.size() * sizeof(float));
    }
    offset = aligned(end);
  }
  return bytes;
}

}  // namespace lockstep::testing
