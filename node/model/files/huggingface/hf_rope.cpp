#include "node/model/files/huggingface/hf_rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <string_view>

#include "node/model/files/shared/load_failure.h"

namespace lockstep::hf {
namespace {

constexpr const char* kParameters = "rope_parameters";
constexpr const char* kScaling = "rope_scaling";

void check_same(const JsonKeys& a, std::string_view a_key, const JsonKeys& b,
                std::string_view b_key) {
  const nlohmann::json* left = a.find(a_key);
  const nlohmann::json* right = b.find(b_key);
  if (left == nullptr || right == nullptr || *left == *right) return;
  fail(a.describe(a_key), " and ", b.describe(b_key), " contradict each other");
}

// Reads the object that describes RoPE, if there is one, beside the keys that stand outside of it.
class RopeReader {
 public:
  RopeReader(const JsonKeys& config, ModelConfig& model)
      : config_(config), model_(model), object_(find_object(config)) {}

  void read(double default_theta, bool may_be_partial) {
    read_theta(default_theta);
    read_n_rot(may_be_partial);
    read_kind();
  }

 private:
  static std::optional<JsonKeys> find_object(const JsonKeys& config) {
    check_same(config, kParameters, config, kScaling);
    if (config.has(kParameters)) return config.find_object(kParameters);
    return config.find_object(kScaling);
  }

  // Of the object, or else of the file.
  std::optional<double> find_number(std::string_view key) const {
    if (!object_) return config_.find_number(key);
    check_same(config_, key, *object_, key);
    const auto inside = object_->find_number(key);
    return inside ? inside : config_.find_number(key);
  }

  // GGUF keeps theta as f32, and so do the frameworks that train.
  void read_theta(double default_theta) {
    const double theta = find_number("rope_theta").value_or(default_theta);
    if (!(theta > 1 && theta < 1e30)) {
      fail(config_.describe("rope_theta"), " is ", theta, ", must be above 1");
    }
    model_.rope_theta = static_cast<double>(static_cast<float>(theta));
  }

  void read_n_rot(bool may_be_partial) {
    constexpr const char* kKey = "partial_rotary_factor";
    const double part = find_number(kKey).value_or(1.0);
    if (!(part > 0 && part <= 1)) {
      fail(config_.describe(kKey), " is ", part, ", must be above 0 and at most 1");
    }
    if (part != 1 && !may_be_partial) {
      fail(config_.describe(kKey), " is ", part, ", which is not supported for this model type");
    }
    model_.n_rot = static_cast<int>(model_.shape.head_dim * part);
    if (model_.n_rot < 2 || model_.n_rot % 2 != 0) {
      fail(config_.describe(kKey), " is ", part, ": ", model_.n_rot,
           " rotated dimensions of heads of ", model_.shape.head_dim, " cannot be paired");
    }
  }

  void read_kind() {
    if (!object_) return;
    check_same(*object_, "type", *object_, "rope_type");
    const char* const key = object_->has("rope_type") ? "rope_type" : "type";
    const std::string kind = object_->find_string(key).value_or("default");
    if (kind == "default") {
      refuse_keys_but({});
    } else if (kind == "linear") {
      refuse_keys_but({"factor"});
      model_.rope_freq_divisors.assign(static_cast<size_t>(model_.n_rot) / 2,
                                       static_cast<float>(positive("factor")));
    } else if (kind == "llama3") {
      read_llama3();
    } else {
      fail(object_->describe(key), " is ", lockstep::quoted(kind),
           ": this kind of RoPE scaling is not supported");
    }
  }

  void read_llama3() {
    refuse_keys_but(
        {"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"});
    const Llama3Scaling scaling{
        .factor = positive("factor"),
        .low_freq_factor = positive("low_freq_factor"),
        .high_freq_factor = positive("high_freq_factor"),
        .original_length = positive("original_max_position_embeddings"),
    };
    if (scaling.low_freq_factor >= scaling.high_freq_factor) {
      fail(object_->describe("low_freq_factor"), " is ", scaling.low_freq_factor,
           ", must be below high_freq_factor, which is ", scaling.high_freq_factor);
    }
    model_.rope_freq_divisors = llama3_divisors(scaling, model_.rope_theta, model_.n_rot);
  }

  double positive(std::string_view key) const {
    const double value = object_->number(key);
    if (value >= 1e-6 && value <= 1e12) return value;
    fail(object_->describe(key), " is ", value, ", must be positive");
  }

  void refuse_keys_but(std::vector<std::string_view> known) const {
    known.insert(known.end(), {"rope_type", "type", "rope_theta", "partial_rotary_factor"});
    object_->refuse_unknown(known);
  }

  const JsonKeys& config_;
  ModelConfig& model_;
  const std::optional<JsonKeys> object_;
};

}  // namespace

std::vector<float> llama3_divisors(const Llama3Scaling& scaling, double theta, int n_rot) {
  std::vector<float> divisors;
  for (int i = 0; i < n_rot; i += 2) {
    const double frequency = std::pow(theta, -static_cast<double>(i) / n_rot);  // radians a token
    const double turns = scaling.original_length * frequency / (2 * std::numbers::pi);
    const double kept = std::clamp(
        (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor),
        0.0, 1.0);
    divisors.push_back(static_cast<float>(1.0 / ((1 - kept) / scaling.factor + kept)));
  }
  return divisors;
}

void read_rope(const JsonKeys& config, double default_theta, bool may_be_partial,
               ModelConfig& model) {
  RopeReader(config, model).read(default_theta, may_be_partial);
}

}  // namespace lockstep::hf
