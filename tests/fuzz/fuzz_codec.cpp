// Any bytes decode to a message or to an error that says what is wrong, and a message that decoded
// encodes to bytes that mean the same.
#include "common/check.h"
#include "common/text/utf8.h"
#include "tests/fuzz/target.h"
#include "tests/unit/wire/samples.h"
#include "wire/codec/codec.h"

namespace lockstep::testing {

std::vector<std::string> fuzz_seeds() {
  std::vector<std::string> seeds;
  for (const wire::Message& message : wire::testing::one_of_each()) {
    seeds.push_back(wire::encode(message));
  }
  return seeds;
}

}  // namespace lockstep::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t n_bytes) {
  using namespace lockstep;  // NOLINT(google-build-using-namespace)
  std::string request_id;
  const auto message = wire::decode(testing::as_text(data, n_bytes), &request_id);
  CHECK(request_id.size() <= n_bytes && utf8::is_valid(request_id));
  if (!message) {
    CHECK(!message.error().message.empty());
    CHECK(utf8::is_valid(message.error().message));
    return 0;
  }
  const std::string encoded = wire::encode(*message);
  const auto again = wire::decode(encoded);
  CHECK(again.has_value());
  CHECK(wire::encode(*again) == encoded);
  return 0;
}
