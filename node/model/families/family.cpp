#include "node/model/families/family.h"

#include <algorithm>

#include "common/check.h"
#include "node/model/families/dense_decoder.h"

namespace lockstep {
namespace {

// The GGUF converter reorders q and k of `llama` so that neighbouring dims rotate together. The
// other families rotate halves.
constexpr Family kFamilies[] = {
    {"llama", RopeStyle::kNeighbours, kDenseDecoder},
    {"qwen2", RopeStyle::kHalves, kDenseDecoder},
};

}  // namespace

const TensorSpec& Family::spec(TensorRole role) const {
  const auto found = std::find_if(tensors.begin(), tensors.end(),
                                  [role](const TensorSpec& spec) { return spec.role == role; });
  CHECK(found != tensors.end());
  return *found;
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
