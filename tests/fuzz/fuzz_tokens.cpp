// Any bytes that decode() reads directly, the tree reads too and to the same message; and whatever
// message of that kind comes out of the tree is read directly once encode() has written it.
#include <algorithm>
#include <cmath>

#include "common/check.h"
#include "tests/fuzz/target.h"
#include "tests/unit/wire/samples.h"
#include "wire/codec/codec.h"
#include "wire/codec/decode_ways.h"
#include "wire/limits.h"

namespace lockstep::testing {

std::vector<std::string> fuzz_seeds() {
  wire::Tokens plain;
  plain.request_id = "c0123abcd-17";
  plain.ids = {49151};
  plain.text = " wörd";
  wire::Tokens binary = wire::testing::full_tokens();
  binary.logprobs[1].bytes = std::string(300, '\xFF');
  binary.text = std::string(70000, 'a');
  return {wire::encode(plain), wire::encode(wire::testing::full_tokens()), wire::encode(binary),
          wire::encode(wire::TokensBatch{}),
          wire::encode(wire::TokensBatch{{plain, wire::testing::full_tokens(), plain}})};
}

}  // namespace lockstep::testing

namespace lockstep {
namespace {

bool has_nan(const wire::Tokens& tokens) {
  return std::ranges::any_of(tokens.logprobs, [](const wire::TokenLogprobs& row) {
    return std::isnan(row.logprob) ||
           std::ranges::any_of(row.top, [](const auto& top) { return std::isnan(top.logprob); });
  });
}

bool must_be_direct(const wire::Message& message) {
  if (const auto* tokens = std::get_if<wire::Tokens>(&message)) return !has_nan(*tokens);
  const auto* batch = std::get_if<wire::TokensBatch>(&message);
  return batch != nullptr && std::ranges::none_of(batch->items, has_nan);
}

}  // namespace
}  // namespace lockstep

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t n_bytes) {
  using namespace lockstep;  // NOLINT(google-build-using-namespace)
  const std::string_view bytes = testing::as_text(data, n_bytes);
  const auto direct = wire::decode_directly(bytes);
  const auto tree = wire::decode_by_tree(bytes);
  if (direct) {
    CHECK(tree.has_value());
    CHECK(wire::encode(*direct) == wire::encode(*tree));
  }
  if (!tree) return 0;
  const std::string encoded = wire::encode(*tree);
  if (must_be_direct(*tree) && encoded.size() <= wire::kMaxValues) {
    const auto again = wire::decode_directly(encoded);
    CHECK(again.has_value());
    CHECK(wire::encode(*again) == encoded);
  }
  return 0;
}
