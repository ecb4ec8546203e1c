// GgufBuilder: builds GGUF files for tests, valid or with any one fault. It holds keys and tensors
// as they will be written; everything that a test does not change is valid. Knows nothing about the
// loader.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lockstep::testing {

using Bytes = std::vector<std::byte>;

template <class T>
void append_number(Bytes& bytes, T value) {
  const size_t at = bytes.size();
  bytes.resize(at + sizeof(T));
  std::memcpy(bytes.data() + at, &value, sizeof(T));
}
// A string in GGUF: the length as uint64, then the characters.
void append_string(Bytes& bytes, std::string_view text);

struct GgufTensor {
  std::string name;
  std::vector<uint64_t> dims;
  uint32_t type = 0;               // 0 = F32
  uint64_t n_bytes = 0;            // placed after the previous tensor
  std::optional<uint64_t> offset;  // written instead of the correct offset
};

class GgufBuilder {
 public:
  // A llama model of one layer: hidden 32, 2 heads that share 1 KV head, FFN 64, 8 tokens; all F32.
  // `architecture`: another one of the same tensors.
  static GgufBuilder tiny_llama(const std::string& architecture = "llama");
  // The same model with a SentencePiece vocabulary.
  static GgufBuilder tiny_spm();

  void set_u32(const std::string& key, uint32_t value);
  void set_u64(const std::string& key, uint64_t value);
  void set_i32(const std::string& key, int32_t value);
  void set_f32(const std::string& key, float value);
  void set_bool(const std::string& key, bool value);
  void set_string(const std::string& key, std::string_view value);
  void set_strings(const std::string& key, const std::vector<std::string>& values);
  void set_f32s(const std::string& key, const std::vector<float>& values);
  void set_i32s(const std::string& key, const std::vector<int32_t>& values);
  // Sets a key to any type and any bytes: replaces the key or adds it at the end.
  void set_raw(const std::string& key, uint32_t type, Bytes value);
  void repeat_key(const std::string& key);
  void remove_key(const std::string& key);

  void add_f32(const std::string& name, const std::vector<uint64_t>& dims);
  GgufTensor& tensor(const std::string& name);
  void repeat_tensor(const std::string& name);
  void remove_tensor(const std::string& name);
  // The bytes of a tensor's values, from its start.
  void set_data(const std::string& name, const std::vector<float>& values);

  std::string magic = "GGUF";
  uint32_t version = 3;
  std::optional<uint64_t> n_tensors, n_keys;  // written instead of the correct counts

  Bytes build() const;
  size_t data_start() const;  // offset of the tensor data in the file that build() makes

 private:
  struct Key {
    std::string name;
    uint32_t type;
    Bytes value;
  };
  struct Data {
    std::string tensor;
    std::vector<float> values;
  };
  Bytes header() const;

  std::vector<Key> keys_;
  std::vector<GgufTensor> tensors_;
  std::vector<Data> data_;
};

}  // namespace lockstep::testing
