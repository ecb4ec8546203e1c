// libFuzzer entry: any bytes decode to a message or an error, and a message that decoded encodes to
// bytes that mean the same. Build with clang and -DLOCKSTEP_FUZZ=ON.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "wire/codec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lockstep::wire;  // NOLINT(google-build-using-namespace)
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  (void)check_json_depth(bytes, kMaxDepth);
  const auto message = decode(bytes);
  if (!message) return 0;
  const std::string again = encode(*message);
  const auto decoded = decode(again);
  if (!decoded || encode(*decoded) != again) std::abort();
  return 0;
}
