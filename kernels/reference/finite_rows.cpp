// finite_rows: the check of keys and values before their blocks may enter the prefix cache. The op
// only clears flags, so that K and V of all layers can share the flags of a step.
#include <algorithm>
#include <cmath>

#include "kernels/reference/reference_ops.h"

namespace lockstep::reference {

void finite_rows(const FiniteRowsArgs& args) {
  for (int64_t row = 0; row < args.x.n_rows(); ++row) {
    const float* x = args.x.row<float>(row);
    const bool finite =
        std::all_of(x, x + args.x.row_size(), [&](float v) { return std::fabs(v) < args.limit; });
    if (!finite) *args.finite.row<uint8_t>(row) = 0;
  }
}

}  // namespace lockstep::reference
