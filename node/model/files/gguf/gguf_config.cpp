#include "node/model/files/gguf/gguf_config.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "common/log.h"
#include "kernels/kv_layout.h"
#include "node/model/families/family.h"

namespace lockstep::gguf {
namespace {

// Sanity limits, far above those of any model. Values within them cannot overflow later.
constexpr int64_t kMaxLayers = 4096;
constexpr int64_t kMaxHeads = 65536;
constexpr int64_t kMaxDim = int64_t{1} << 24;
constexpr int64_t kMaxContext = int64_t{1} << 30;

// Keys under "<architecture>." that read_config() reads, or that cannot change a token. Any other
// key is refused: a scale or a window that is silently ignored gives wrong tokens and no error.
constexpr std::string_view kKnownKeys[] = {
    "attention.causal",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.layer_norm_rms_epsilon",
    "attention.sliding_window",
    "attention.value_length",
    "block_count",
    "context_length",
    "embedding_length",
    "expert_count",
    "expert_used_count",
    "feed_forward_length",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.scaling.factor",
    "rope.scaling.finetuned",                // informational
    "rope.scaling.original_context_length",  // used only with scaling types that are refused
    "rope.scaling.type",
    "tensor_data_layout",  // informational
    "vocab_size",          // taken from token_embd.weight
};

// Reads the keys of one architecture, for example "llama." + name.
class ConfigReader {
 public:
  ConfigReader(const Directory& directory, const Family& family, ModelConfig& config)
      : metadata_(directory.metadata),
        tensors_(directory.tensors),
        family_(family),
        prefix_(config.architecture + "."),
        config_(config) {}

  void read() {
    refuse_unknown_keys();
    refuse_unsupported_features();
    read_sizes();
    read_heads();
    read_rope();
    read_tensor_facts();
  }

 private:
  void refuse_unknown_keys() const {
    for (const Value& value : metadata_.values()) {
      if (!value.key.starts_with(prefix_)) continue;
      const std::string_view name = value.key.substr(prefix_.size());
      if (std::find(std::begin(kKnownKeys), std::end(kKnownKeys), name) == std::end(kKnownKeys)) {
        fail(metadata_.describe(value.key),
             " is not supported: ignoring it could change the model's answers");
      }
    }
  }

  void refuse_unsupported_features() const {
    for (const char* name : {"expert_count", "expert_used_count"}) {
      const auto n = metadata_.find_integer(key(name)).value_or(0);
      if (n != 0)
        fail(metadata_.describe(key(name)), " is ", n, ": mixtures of experts are not supported");
    }
    if (!metadata_.find_bool(key("attention.causal")).value_or(true)) {
      fail(metadata_.describe(key("attention.causal")),
           " is false: only causal models are supported");
    }
  }

  // 0 if no token of the context is outside the window.
  int64_t read_window() const {
    const std::string window_key = key("attention.sliding_window");
    const auto window = metadata_.find_integer(window_key).value_or(0);
    if (window == 0 || window >= static_cast<uint64_t>(config_.context_length)) return 0;
    if (!family_.has_window) {
      fail(metadata_.describe(window_key), " is ", window, ", below the context length ",
           config_.context_length, ": sliding windows of ", config_.architecture,
           " models are not supported");
    }
    return static_cast<int64_t>(window);
  }

  void read_sizes() {
    const auto n_layers = static_cast<int>(metadata_.integer(key("block_count"), 1, kMaxLayers));
    config_.context_length = metadata_.integer(key("context_length"), 1, kMaxContext);
    config_.shape.hidden_dim = metadata_.integer(key("embedding_length"), 1, kMaxDim);
    config_.shape.ffn_dim = metadata_.integer(key("feed_forward_length"), 1, kMaxDim);
    const std::string eps_key = key("attention.layer_norm_rms_epsilon");
    const double eps = metadata_.number(eps_key);
    if (!(eps > 0 && eps < 1)) {
      fail(metadata_.describe(eps_key), " is ", eps, ", must be between 0 and 1");
    }
    config_.rms_eps = static_cast<float>(eps);
    config_.layers = family_.layers(n_layers, read_window());
  }

  void read_heads() {
    ModelShape& shape = config_.shape;
    shape.n_heads = static_cast<int>(metadata_.integer(key("attention.head_count"), 1, kMaxHeads));
    shape.n_kv_heads = shape.n_heads;
    const std::string kv_key = key("attention.head_count_kv");
    if (metadata_.has(kv_key)) {
      shape.n_kv_heads = static_cast<int>(metadata_.integer(kv_key, 1, shape.n_heads));
    }
    if (shape.n_heads % shape.n_kv_heads != 0) {
      fail(metadata_.describe(kv_key), ": ", shape.n_heads, " heads cannot share ",
           shape.n_kv_heads, " KV heads evenly");
    }
    shape.head_dim = read_head_dim();
  }

  int read_head_dim() const {
    const std::string length_key = key("attention.key_length");
    int64_t head_dim = config_.shape.hidden_dim / config_.shape.n_heads;
    if (metadata_.has(length_key)) {
      head_dim = metadata_.integer(length_key, 1, kMaxHeadDim);
    } else if (config_.shape.hidden_dim % config_.shape.n_heads != 0) {
      fail(metadata_.describe(key("attention.head_count")), ": ", config_.shape.n_heads,
           " heads do not divide the hidden dimension ", config_.shape.hidden_dim);
    }
    if (head_dim > kMaxHeadDim) {
      fail(metadata_.describe(key("attention.head_count")), ": heads of ", head_dim,
           " values, at most ", kMaxHeadDim, " are supported");
    }
    const auto value_length = metadata_.find_integer(key("attention.value_length"));
    if (value_length && *value_length != static_cast<uint64_t>(head_dim)) {
      fail(metadata_.describe(key("attention.value_length")), " is ", *value_length, ", keys have ",
           head_dim, ": unequal head dimensions are not supported");
    }
    return static_cast<int>(head_dim);
  }

  void read_rope() {
    const int head_dim = config_.shape.head_dim;
    config_.n_rot = head_dim;
    const std::string count_key = key("rope.dimension_count");
    if (metadata_.has(count_key)) {
      config_.n_rot = static_cast<int>(metadata_.integer(count_key, 2, head_dim));
    }
    if (config_.n_rot % 2 != 0) {
      fail(metadata_.describe(count_key), ": ", config_.n_rot,
           " rotated dimensions of a head cannot be paired");
    }
    const std::string base_key = key("rope.freq_base");
    config_.rope_theta = metadata_.find_number(base_key).value_or(10000.0);  // GGUF's default
    if (!(config_.rope_theta > 1 && std::isfinite(config_.rope_theta))) {
      fail(metadata_.describe(base_key), " is ", config_.rope_theta, ", must be above 1");
    }
    read_rope_scaling();
  }

  // Linear scaling divides every frequency, so it is stored as rope_freq_divisors.
  void read_rope_scaling() {
    const std::string type_key = key("rope.scaling.type");
    const auto type = metadata_.find_string(type_key).value_or("linear");  // GGUF's default
    if (type != "none" && type != "linear") {
      fail(metadata_.describe(type_key), " is ", quoted(type),
           ": this kind of RoPE scaling is not supported");
    }
    const Tensor* divisors = find(TensorRole::kRopeDivisors);
    if (divisors != nullptr) read_divisors(*divisors);
    const std::string factor_key = key("rope.scaling.factor");
    const double factor = metadata_.find_number(factor_key).value_or(1.0);
    if (!(factor > 0 && std::isfinite(factor))) {
      fail(metadata_.describe(factor_key), " is ", factor, ", must be positive");
    }
    if (type == "none" || factor == 1.0) return;
    config_.rope_freq_divisors.resize(static_cast<size_t>(config_.n_rot) / 2, 1.0f);
    for (float& divisor : config_.rope_freq_divisors) divisor *= static_cast<float>(factor);
  }

  void read_divisors(const Tensor& tensor) {
    const int64_t n = config_.n_rot / 2;
    if (tensor.type != WeightType::kF32 || tensor.n_rows != 1 || tensor.n_cols != n) {
      fail("tensor ", quoted(tensor.name), " at offset ", tensor.file_offset, " is ",
           to_string(tensor.type), " [", tensor.n_cols, ", ", tensor.n_rows, "], must be F32 [", n,
           ", 1]");
    }
    config_.rope_freq_divisors.resize(static_cast<size_t>(n));
    std::memcpy(config_.rope_freq_divisors.data(), tensor.data,
                static_cast<size_t>(tensor.bytes()));
    for (size_t i = 0; i < config_.rope_freq_divisors.size(); ++i) {
      const float divisor = config_.rope_freq_divisors[i];
      if (divisor > 0 && std::isfinite(divisor)) continue;
      fail("tensor ", quoted(tensor.name), " at offset ", tensor.file_offset + i * sizeof(float),
           " holds ", divisor, ", must be positive");
    }
  }

  void read_tensor_facts() {
    const std::string name = family_.spec(TensorRole::kEmbedding).name_in_gguf();
    const Tensor* embedding = find(TensorRole::kEmbedding);
    if (embedding == nullptr) fail("tensor ", quoted(name), " is missing");
    if (embedding->n_rows > kMaxDim) {
      fail("tensor ", quoted(name), " at offset ", embedding->file_offset, " has ",
           embedding->n_rows, " rows, more than ", kMaxDim);
    }
    config_.shape.vocab_size = embedding->n_rows;
    config_.tied_embeddings = find(TensorRole::kHead) == nullptr;
    config_.qkv_bias = find(TensorRole::kQueryBias) != nullptr;
  }

  std::string key(std::string_view name) const { return prefix_ + std::string(name); }

  // The model's tensor, or the first layer's. Null if the file or the family has none.
  const Tensor* find(TensorRole role) const {
    const TensorSpec* spec = family_.find(role);
    if (spec == nullptr) return nullptr;
    const std::string name = spec->name_in_gguf();
    const auto found = std::find_if(tensors_.begin(), tensors_.end(),
                                    [&name](const Tensor& t) { return t.name == name; });
    return found == tensors_.end() ? nullptr : &*found;
  }

  const Metadata& metadata_;
  const std::vector<Tensor>& tensors_;
  const Family& family_;
  const std::string prefix_;
  ModelConfig& config_;
};

const Family& family_in(const Metadata& metadata) {
  const std::string_view architecture = metadata.string("general.architecture");
  if (const Family* family = find_family(architecture)) return *family;
  std::string supported;
  for (const Family& family : families()) {
    supported += str(supported.empty() ? "" : ", ", family.architecture);
  }
  fail(metadata.describe("general.architecture"), " is ", quoted(architecture),
       ": this architecture is not supported (supported: ", supported, ")");
}

}  // namespace

ModelConfig read_config(const Directory& directory) {
  const Metadata& metadata = directory.metadata;
  const Family& family = family_in(metadata);
  ModelConfig config;
  config.architecture = family.architecture;
  config.name = metadata.find_string("general.name").value_or("");
  config.rope_style = family.rope_style;
  config.qk_norm = family.qk_norm;
  ConfigReader(directory, family, config).read();
  return config;
}

}  // namespace lockstep::gguf
