// Any bytes are refused with a LoadError, or are a model all of whose contents can be used
// (fuzz_gguf.h, which tests/unit/model/files/gguf_fuzz_test.cpp shares).
#include "tests/fuzz/fuzz_gguf.h"

#include "tests/fuzz/target.h"
#include "tests/support/gguf_builder.h"

namespace lockstep::testing {

std::vector<std::string> fuzz_seeds() {
  const Bytes bytes = GgufBuilder::tiny_llama().build();
  return {std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size())};
}

}  // namespace lockstep::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t n_bytes) {
  lockstep::testing::open_as_gguf({reinterpret_cast<const std::byte*>(data), n_bytes});
  return 0;
}
