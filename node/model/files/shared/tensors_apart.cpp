#include "node/model/files/shared/tensors_apart.h"

#include <algorithm>
#include <string_view>
#include <unordered_set>

#include "node/model/files/shared/load_failure.h"

namespace lockstep {
namespace {

void check_no_overlap(const std::vector<Tensor>& tensors) {
  std::vector<const Tensor*> sorted;
  sorted.reserve(tensors.size());
  for (const Tensor& tensor : tensors) sorted.push_back(&tensor);
  std::sort(sorted.begin(), sorted.end(),
            [](const Tensor* a, const Tensor* b) { return a->file_offset < b->file_offset; });
  for (size_t i = 1; i < sorted.size(); ++i) {
    const Tensor& left = *sorted[i - 1];
    const uint64_t left_end = left.file_offset + static_cast<uint64_t>(left.bytes());
    if (left_end <= sorted[i]->file_offset) continue;
    fail("tensor ", quoted(sorted[i]->name), " at offset ", sorted[i]->file_offset, " overlaps ",
         quoted(left.name), ", which lies at ", left.file_offset, "..", left_end);
  }
}

void check_unique(const std::vector<Tensor>& tensors) {
  std::unordered_set<std::string_view> names;
  for (const Tensor& tensor : tensors) {
    if (!names.insert(tensor.name).second) {
      fail("tensor ", quoted(tensor.name), " appears twice, again at offset ", tensor.file_offset);
    }
  }
}

}  // namespace

void check_apart(const std::vector<Tensor>& tensors) {
  check_unique(tensors);
  check_no_overlap(tensors);
}

}  // namespace lockstep
