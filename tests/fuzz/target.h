// What a fuzz target consists of: an entry that takes any bytes and CHECKs what must hold of them,
// and good inputs to start from. libFuzzer (preset fuzz) and replay_main.cpp call the same entry.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t n_bytes);

namespace lockstep::testing {

std::vector<std::string> fuzz_seeds();

inline std::string_view as_text(const uint8_t* data, size_t n_bytes) {
  return {reinterpret_cast<const char*>(data), n_bytes};
}

}  // namespace lockstep::testing
