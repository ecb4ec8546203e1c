// FloatMode: while one exists, its thread computes as docs/numerics.md section 0 demands: round to
// nearest, denormals on (FTZ and DAZ off). The destructor restores the earlier mode. Costs almost
// nothing if the mode was right already.
#pragma once

#include <immintrin.h>

namespace lockstep {

class FloatMode {
 public:
  FloatMode() : found_(_mm_getcsr()) {
    if ((found_ & kControl) != kIeee) _mm_setcsr((found_ & ~kControl) | kIeee);
  }
  ~FloatMode() {
    if ((found_ & kControl) != kIeee) _mm_setcsr(found_);
  }
  FloatMode(const FloatMode&) = delete;
  FloatMode& operator=(const FloatMode&) = delete;

 private:
  static constexpr unsigned kControl = 0xffc0u;  // all but the sticky exception flags
  static constexpr unsigned kIeee = 0x1f80u;     // every exception masked, nearest, no FTZ or DAZ
  const unsigned found_;
};

}  // namespace lockstep
