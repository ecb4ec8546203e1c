#include "node/model/files/shared/model_tensors.h"

#include <unordered_set>

#include "node/model/families/family.h"
#include "node/model/files/shared/load_failure.h"

namespace lockstep {
namespace {

class TensorCheck {
 public:
  explicit TensorCheck(const ModelFile& file)
      : file_(file), config_(file.config()), family_(family_of(config_)) {}

  void run() {
    for (const TensorSpec& spec : family_.tensors) {
      if (spec.layers == Layers::kNone) check(spec, file_.name_of(spec, 0));
    }
    for (int layer = 0; layer < config_.n_layers(); ++layer) {
      for (const TensorSpec& spec : family_.tensors) {
        if (spec.layers == Layers::kEach) check(spec, file_.name_of(spec, layer));
      }
    }
    refuse_leftovers();
  }

 private:
  void check(const TensorSpec& spec, const std::string& name) {
    if (!may_have(config_, spec)) return;
    if (spec.presence == Presence::kOptional && file_.find(name) == nullptr) return;
    const Tensor& tensor =
        file_.require(name, size_of(spec.n_rows, config_), size_of(spec.n_cols, config_));
    if (spec.is_vector() && is_quantized(tensor.type)) {
      fail("tensor ", quoted(tensor.name), " at offset ", tensor.file_offset, " has type ",
           to_string(tensor.type), "; norms and biases must be F32, F16 or BF16");
    }
    used_.insert(tensor.name);
  }

  void refuse_leftovers() const {
    for (const Tensor& tensor : file_.tensors()) {
      if (used_.count(tensor.name) > 0) continue;
      fail("tensor ", quoted(tensor.name), " at offset ", tensor.file_offset, " is not part of a ",
           config_.architecture, " model of ", config_.n_layers(), " layers");
    }
  }

  const ModelFile& file_;
  const ModelConfig& config_;
  const Family& family_;
  std::unordered_set<std::string_view> used_;
};

}  // namespace

void check_model_tensors(const ModelFile& file) { TensorCheck(file).run(); }

}  // namespace lockstep
