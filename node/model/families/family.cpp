#include "node/model/families/family.h"

#include <algorithm>

#include "common/check.h"
#include "node/model/families/dense_decoder.h"

namespace lockstep {
namespace {

// The GGUF converter reorders q and k of `llama` and `smollm3` so that neighbouring dims rotate
// together. The other families rotate halves. Mistral's files are `llama` with a window.
constexpr Family kFamilies[] = {
    {.architecture = "llama",
     .rope_style = RopeStyle::kNeighbours,
     .tensors = kDenseDecoder,
     .has_window = true},
    {.architecture = "qwen2", .rope_style = RopeStyle::kHalves, .tensors = kDenseDecoder},
    {.architecture = "qwen3",
     .rope_style = RopeStyle::kHalves,
     .tensors = kDenseDecoder,
     .qk_norm = true},
    {.architecture = "smollm3",
     .rope_style = RopeStyle::kNeighbours,
     .tensors = kDenseDecoder,
     .unrotated_every = 4},
    {.architecture = "phi3",
     .rope_style = RopeStyle::kHalves,
     .tensors = kFusedDecoder,
     .has_window = true},
};

}  // namespace

const TensorSpec* Family::find(TensorRole role) const {
  const auto found = std::find_if(tensors.begin(), tensors.end(),
                                  [role](const TensorSpec& spec) { return spec.role == role; });
  return found == tensors.end() ? nullptr : &*found;
}

const TensorSpec& Family::spec(TensorRole role) const {
  const TensorSpec* found = find(role);
  CHECK(found != nullptr);
  return *found;
}

std::vector<LayerConfig> Family::layers(int n_layers, int64_t window) const {
  std::vector<LayerConfig> layers(static_cast<size_t>(n_layers));
  for (int i = 0; i < n_layers; ++i) {
    LayerConfig& layer = layers[static_cast<size_t>(i)];
    layer.window = has_window ? window : 0;
    layer.rotates = unrotated_every == 0 || (i + 1) % unrotated_every != 0;
  }
  return layers;
}

std::span<const Family> families() { return kFamilies; }

const Family* find_family(std::string_view architecture) {
  const auto found =
      std::find_if(std::begin(kFamilies), std::end(kFamilies),
                   [architecture](const Family& f) { return f.architecture == architecture; });
  return found == std::end(kFamilies) ? nullptr : found;
}

const Family& family_of(const ModelConfig& model) {
  const Family* family = find_family(model.architecture);
  CHECK(family != nullptr);
  return *family;
}

}  // namespace lockstep
