// Source of the keys and their defaults: the configuration classes of Hugging Face's transformers.
#include "node/model/files/huggingface/hf_config.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "common/check.h"
#include "common/log.h"
#include "kernels/kv_layout.h"
#include "node/model/families/family.h"
#include "node/model/files/huggingface/hf_config_keys.h"
#include "node/model/files/huggingface/hf_rope.h"
#include "node/model/files/shared/load_failure.h"

namespace lockstep::hf {
namespace {

// Sanity limits, far above those of any model. Values within them cannot overflow later.
constexpr int64_t kMaxLayers = 4096;
constexpr int64_t kMaxHeads = 65536;
constexpr int64_t kMaxDim = int64_t{1} << 24;
constexpr int64_t kMaxContext = int64_t{1} << 30;

// What `sliding_window` means.
enum class Window {
  kUnknown,  // the model type has none
  kAlways,   // the window of every layer
  kIfUsed,   // only if use_sliding_window is true, which is not supported
};

struct ModelType {
  std::string_view name;          // model_type of config.json
  std::string_view architecture;  // of the Family
  Window window = Window::kUnknown;
  double default_theta = 10000;
  bool has_bias = false;  // of q, k and v, if the file does not say
  bool may_rotate_partly = false;
};

constexpr ModelType kModelTypes[] = {
    {.name = "llama", .architecture = "llama"},
    {.name = "mistral", .architecture = "llama", .window = Window::kAlways},
    {.name = "qwen2", .architecture = "qwen2", .window = Window::kIfUsed, .has_bias = true},
    {.name = "qwen3", .architecture = "qwen3", .window = Window::kIfUsed},
    {.name = "smollm3", .architecture = "smollm3", .window = Window::kIfUsed, .default_theta = 2e6},
    {.name = "phi3", .architecture = "phi3", .window = Window::kAlways, .may_rotate_partly = true},
};

// The keys of config.json that give a dimension.
const char* keys_of(Extent extent) {
  switch (extent) {
    case Extent::kOne:
      return "1";
    case Extent::kVocab:
      return "vocab_size";
    case Extent::kHidden:
      return "hidden_size";
    case Extent::kQueryDim:
      return "num_attention_heads * head_dim";
    case Extent::kKvDim:
      return "num_key_value_heads * head_dim";
    case Extent::kQkvDim:
      return "(num_attention_heads + 2 num_key_value_heads) * head_dim";
    case Extent::kHeadDim:
      return "head_dim";
    case Extent::kFfn:
      return "intermediate_size";
    case Extent::kTwiceFfn:
      return "2 intermediate_size";
    case Extent::kRotatedPairs:
      break;
  }
  CHECK(false);
  return "";
}

class ConfigReader {
 public:
  ConfigReader(const JsonKeys& config, const std::vector<Tensor>& tensors, const ModelType& type,
               ModelConfig& model)
      : config_(config),
        tensors_(tensors),
        type_(type),
        family_(*find_family(type.architecture)),
        model_(model) {}

  void read() {
    refuse_unsupported_features();
    read_sizes();
    read_heads();
    read_rope(config_, type_.default_theta, type_.may_rotate_partly, model_);
    read_layers();
    read_tied();
    read_bias();
    check_shapes();
  }

 private:
  void refuse_unsupported_features() const {
    if (const auto quantised = config_.find_object("quantization_config")) {
      fail(config_.describe("quantization_config"), " (",
           lockstep::quoted(quantised->find_string("quant_method").value_or("of unknown method")),
           "): quantised weights of this kind are not supported");
    }
    for (const char* key : {"mlp_bias", "rope_interleaved", "use_mrope", "is_encoder_decoder"}) {
      if (config_.find_bool(key).value_or(false)) {
        fail(config_.describe(key), " is true, which is not supported");
      }
    }
    const std::string activation = config_.find_string("hidden_act").value_or("silu");
    if (activation != "silu" && activation != "swish") {
      fail(config_.describe("hidden_act"), " is ", lockstep::quoted(activation),
           ": only silu is supported");
    }
    const nlohmann::json* classes = config_.find_array("architectures");
    if (classes == nullptr) return;
    for (const nlohmann::json& name : *classes) {
      if (name.is_string() && name.get_ref<const std::string&>().ends_with("ForCausalLM")) return;
    }
    fail(config_.describe("architectures"), " is ", lockstep::quoted(classes->dump()),
         ": only models …ForCausalLM are supported");
  }

  void read_sizes() {
    ModelShape& shape = model_.shape;
    model_.context_length = config_.integer("max_position_embeddings", 1, kMaxContext);
    shape.hidden_dim = config_.integer("hidden_size", 1, kMaxDim);
    const Tensor& embedding = require(TensorRole::kEmbedding);
    shape.vocab_size = given_or_of_tensor("vocab_size", embedding.n_rows);
    // Some files leave the FFN to a formula of the model's class. The tensors have its result.
    shape.ffn_dim = given_or_of_tensor("intermediate_size", ffn_dim_of_tensors());
    const double eps = config_.number("rms_norm_eps");
    if (!(eps > 0 && eps < 1)) {
      fail(config_.describe("rms_norm_eps"), " is ", eps, ", must be between 0 and 1");
    }
    model_.rms_eps = static_cast<float>(eps);
  }

  int64_t given_or_of_tensor(const char* key, int64_t of_tensor) const {
    const auto given = config_.find_integer(key, 1, kMaxDim);
    if (given) return *given;
    if (of_tensor >= 1 && of_tensor <= kMaxDim) return of_tensor;
    fail(config_.describe(key), " is missing, and the tensors have ", of_tensor,
         ", which is not in 1..", kMaxDim);
  }

  int64_t ffn_dim_of_tensors() const {
    if (family_.find(TensorRole::kGateUp) == nullptr) return require(TensorRole::kGate).n_rows;
    return require(TensorRole::kGateUp).n_rows / 2;
  }

  void read_heads() {
    ModelShape& shape = model_.shape;
    shape.n_heads = static_cast<int>(config_.integer("num_attention_heads", 1, kMaxHeads));
    shape.n_kv_heads = static_cast<int>(
        config_.find_integer("num_key_value_heads", 1, shape.n_heads).value_or(shape.n_heads));
    if (shape.n_heads % shape.n_kv_heads != 0) {
      fail(config_.describe("num_key_value_heads"), ": ", shape.n_heads, " heads cannot share ",
           shape.n_kv_heads, " KV heads evenly");
    }
    const auto head_dim = config_.find_integer("head_dim", 1, kMaxHeadDim);
    if (!head_dim && shape.hidden_dim % shape.n_heads != 0) {
      fail(config_.describe("num_attention_heads"), ": ", shape.n_heads,
           " heads do not divide the hidden dimension ", shape.hidden_dim);
    }
    const int64_t dim = head_dim.value_or(shape.hidden_dim / shape.n_heads);
    if (dim > kMaxHeadDim) {
      fail(config_.describe("num_attention_heads"), ": heads of ", dim, " values, at most ",
           kMaxHeadDim, " are supported");
    }
    shape.head_dim = static_cast<int>(dim);
  }

  void read_layers() {
    const auto n_layers = static_cast<int>(config_.integer("num_hidden_layers", 1, kMaxLayers));
    model_.layers = family_.layers(n_layers, read_window(n_layers));
    read_unrotated_layers();
    check_layer_types();
  }

  // 0 if no token of the context is outside the window.
  int64_t read_window(int n_layers) const {
    const auto window = config_.find_integer("sliding_window", 1, kMaxContext);
    const bool may_use = config_.find_bool("use_sliding_window").value_or(true);
    if (!window || *window >= model_.context_length) return 0;
    switch (type_.window) {
      case Window::kAlways:
        if (may_use) return *window;
        fail(config_.describe("use_sliding_window"), " is false, which a model type ",
             lockstep::quoted(type_.name), " does not have");
      case Window::kIfUsed:
        if (!config_.find_bool("use_sliding_window").value_or(false)) return 0;
        if (config_.find_integer("max_window_layers").value_or(0) >= n_layers) return 0;
        break;
      case Window::kUnknown:
        break;
    }
    fail(config_.describe("sliding_window"), " is ", *window, ", below the context length ",
         model_.context_length, ": sliding windows of the model type ",
         lockstep::quoted(type_.name), " are not supported");
  }

  // `no_rope_layers` has 1 for a layer with RoPE and 0 for one without.
  void read_unrotated_layers() {
    const nlohmann::json* flags = config_.find_array("no_rope_layers");
    const auto interval = config_.find_integer("no_rope_layer_interval", 1, kMaxLayers);
    if (family_.unrotated_every == 0) {
      if (flags == nullptr && !interval) return;
      fail(config_.describe(flags != nullptr ? "no_rope_layers" : "no_rope_layer_interval"),
           " is not supported for the model type ", lockstep::quoted(type_.name));
    }
    if (flags != nullptr && flags->size() < model_.layers.size()) {
      fail(config_.describe("no_rope_layers"), " has ", flags->size(), " entries for ",
           model_.n_layers(), " layers");
    }
    for (size_t i = 0; i < model_.layers.size(); ++i) {
      bool& rotates = model_.layers[i].rotates;
      if (flags == nullptr) {
        const auto every = static_cast<size_t>(interval.value_or(family_.unrotated_every));
        rotates = (i + 1) % every != 0;
        continue;
      }
      const nlohmann::json& flag = flags->at(i);
      if (flag != 0 && flag != 1) {
        fail(config_.describe("no_rope_layers"), ": entry ", i, " is ", type_name(flag),
             " other than 0 and 1");
      }
      rotates = flag == 1;
    }
  }

  void check_layer_types() const {
    constexpr const char* kKey = "layer_types";
    const nlohmann::json* types = config_.find_array(kKey);
    if (types == nullptr) return;
    if (types->size() != model_.layers.size()) {
      fail(config_.describe(kKey), " has ", types->size(), " entries for ", model_.n_layers(),
           " layers");
    }
    const auto window = config_.find_integer("sliding_window").value_or(model_.context_length);
    for (size_t i = 0; i < types->size(); ++i) {
      const nlohmann::json& type = types->at(i);
      const bool is_windowed = model_.layers[i].window > 0;
      const bool may_be_full = !is_windowed;
      const bool may_slide = is_windowed || window >= model_.context_length;
      if (type == "full_attention" && may_be_full) continue;
      if (type == "sliding_attention" && may_slide) continue;
      fail(config_.describe(kKey), ": entry ", i, " is ", lockstep::quoted(type.dump()),
           ", which is not supported for a layer ", is_windowed ? "with" : "without", " a window");
    }
  }

  void read_tied() {
    const Tensor* head = find(TensorRole::kHead);
    model_.tied_embeddings = head == nullptr;
    const auto tied = config_.find_bool("tie_word_embeddings");
    if (!tied || *tied == model_.tied_embeddings) return;
    fail(config_.describe("tie_word_embeddings"), " is ", *tied ? "true" : "false", ", but tensor ",
         lockstep::quoted(family_.spec(TensorRole::kHead).name_in_hf()),
         *tied ? " is there" : " is missing");
  }

  void read_bias() {
    constexpr const char* kKey = "attention_bias";
    const bool wanted = config_.find_bool(kKey).value_or(type_.has_bias);
    const TensorSpec* spec = family_.find(TensorRole::kQueryBias);
    if (spec == nullptr) {
      if (wanted) fail(config_.describe(kKey), " is true, which is not supported");
      return;
    }
    const Tensor* bias = find(TensorRole::kQueryBias);
    model_.qkv_bias = bias != nullptr;
    if (model_.qkv_bias != wanted) {
      fail(config_.has(kKey)
               ? config_.describe(kKey)
               : config_.describe("model_type") + str(" is ", lockstep::quoted(type_.name)),
           wanted ? " asks for" : " excludes", " a bias of q, k and v, but tensor ",
           lockstep::quoted(spec->name_in_hf()), wanted ? " is missing" : " is there");
    }
    refuse_output_bias();
  }

  // attention_bias also gives the output projection a bias, which files may leave out; it is then
  // zero.
  void refuse_output_bias() const {
    const std::string name = "model.layers.0.self_attn.o_proj.bias";
    if (find(name) == nullptr) return;
    fail(config_.describe("attention_bias"), ": tensor ", lockstep::quoted(name),
         ": a bias of o_proj is not supported");
  }

  // Compares the tensors of the model and of its first layer with the keys. Those of other layers
  // are compared with the same sizes later (check_model_tensors).
  void check_shapes() const {
    for (const TensorSpec& spec : family_.tensors) {
      const Tensor* tensor = find(spec.name_in_hf());
      if (tensor == nullptr || !may_have(model_, spec)) continue;
      check_size(*tensor, "rows", tensor->n_rows, spec.n_rows);
      check_size(*tensor, spec.is_vector() ? "values" : "columns", tensor->n_cols, spec.n_cols);
    }
  }

  void check_size(const Tensor& tensor, const char* what, int64_t n, Extent extent) const {
    const int64_t wanted = size_of(extent, model_);
    if (n == wanted) return;
    fail("tensor ", lockstep::quoted(tensor.name), " has ", n, " ", what, ", but ", config_.where(),
         " says ", wanted, " (", keys_of(extent), ")");
  }

  const Tensor* find(std::string_view name) const {
    if (name.empty()) return nullptr;
    const auto found = std::find_if(tensors_.begin(), tensors_.end(),
                                    [name](const Tensor& t) { return t.name == name; });
    return found == tensors_.end() ? nullptr : &*found;
  }
  // The model's tensor, or the first layer's. Null if the files have none.
  const Tensor* find(TensorRole role) const { return find(family_.spec(role).name_in_hf()); }
  const Tensor& require(TensorRole role) const {
    const Tensor* tensor = find(role);
    if (tensor != nullptr) return *tensor;
    fail("tensor ", lockstep::quoted(family_.spec(role).name_in_hf()), " is missing");
  }

  const JsonKeys& config_;
  const std::vector<Tensor>& tensors_;
  const ModelType& type_;
  const Family& family_;
  ModelConfig& model_;
};

const ModelType& type_in(const JsonKeys& config) {
  const auto name = config.find_string("model_type");
  if (!name) fail(config.describe("model_type"), " is missing");
  std::string supported;
  for (const ModelType& type : kModelTypes) {
    if (type.name == *name) return type;
    supported += str(supported.empty() ? "" : ", ", type.name);
  }
  fail(config.describe("model_type"), " is ", lockstep::quoted(*name),
       ": this model type is not supported (supported: ", supported, ")");
}

}  // namespace

ModelConfig read_config(const JsonKeys& config, const std::vector<Tensor>& tensors,
                        std::string name) {
  const ModelType& type = type_in(config);
  std::vector<std::string_view> known(std::begin(kReadKeys), std::end(kReadKeys));
  known.insert(known.end(), std::begin(kIgnoredKeys), std::end(kIgnoredKeys));
  config.refuse_unknown(known);
  const Family& family = *find_family(type.architecture);
  ModelConfig model;
  model.architecture = family.architecture;
  model.name = std::move(name);
  model.rope_style = family.rope_style;
  model.qk_norm = family.qk_norm;
  ConfigReader(config, tensors, type, model).read();
  return model;
}

}  // namespace lockstep::hf
