// init_sodium: libsodium must be initialised once before any of its functions is used. Any thread.
#pragma once

#include <sodium.h>

#include "common/check.h"

namespace lockstep {

inline void init_sodium() {
  static const bool is_ready = sodium_init() >= 0;
  CHECK(is_ready);
}

}  // namespace lockstep
