// libFuzzer entry (-DLOCKSTEP_FUZZ=ON with clang). tests/unit/model/gguf_fuzz_test.cpp runs the
// same target over seeded mutations with any compiler.
#include "tests/fuzz/fuzz_gguf.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t n_bytes) {
  lockstep::testing::open_as_gguf({reinterpret_cast<const std::byte*>(data), n_bytes});
  return 0;
}
