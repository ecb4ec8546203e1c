// Any bytes decode to a batch of KV events or to an error that says what is wrong. A batch that
// decoded says what the tree library reads from the same bytes.
#include <nlohmann/json.hpp>

#include "common/check.h"
#include "common/text/utf8.h"
#include "tests/fuzz/target.h"
#include "tests/support/kv_event_bytes.h"

namespace lockstep::testing {
namespace {

using nlohmann::json;

bool is_kept(const json& event) {
  const json medium = event.value("medium", json()), group = event.value("group_idx", json());
  return (medium.is_null() || medium == "GPU") && (group.is_null() || group == 0);
}

// Compares one event with its tree.
void compare(const wire::KvEventBatch& batch, const wire::KvEvent& event, const json& tree) {
  using Kind = wire::KvEvent::Kind;
  const bool is_stored = event.kind == Kind::kStored;
  const char* type = is_stored                      ? "BlockStored"
                     : event.kind == Kind::kRemoved ? "BlockRemoved"
                                                    : "AllBlocksCleared";
  CHECK(tree.at("type") == type);
  if (event.kind == Kind::kCleared) return;
  const auto hashes = batch.hashes_of(event);
  CHECK(tree.at("block_hashes") == std::vector<uint64_t>(hashes.begin(), hashes.end()));
  if (!is_stored) return;
  const json parent = tree.value("parent_block_hash", json());
  CHECK(event.parent ? parent == *event.parent : parent.is_null());
  CHECK(tree.at("block_size") == event.block_size);
  CHECK(tree.at("token_ids").size() == hashes.size() * static_cast<size_t>(event.block_size));
}

}  // namespace

std::vector<std::string> fuzz_seeds() {
  wire::KvEventBatch batch{.unix_seconds = 1700000000.25, .epoch = 42, .events = {}, .hashes = {}};
  std::vector<std::string> seeds{encoded_kv_events(batch)};
  add_cleared(batch);
  add_stored(batch, {}, {1, ~uint64_t{0}, 0xdeadbeef12345678}, 2);
  add_stored(batch, 300, {70000}, 16);
  add_removed(batch, {1, 300, 70000});
  seeds.push_back(encoded_kv_events(batch, "tea"));
  seeds.push_back(encoded_kv_events(batch, "\xff"));
  return seeds;
}

}  // namespace lockstep::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t n_bytes) {
  using namespace lockstep;  // NOLINT(google-build-using-namespace)
  const std::string_view bytes = testing::as_text(data, n_bytes);
  wire::KvEventBatch batch;
  const Status status = wire::decode_kv_events(bytes, batch);
  CHECK(batch.hashes.size() <= n_bytes && batch.events.size() <= n_bytes);
  if (!status) {
    CHECK(!status.error().message.empty() && utf8::is_valid(status.error().message));
    return 0;
  }
  // The tree library refuses some bytes that are skipped here, such as maps whose keys are no text.
  const auto tree = nlohmann::json::from_msgpack(bytes, /*strict=*/true, /*exceptions=*/false);
  if (tree.is_discarded()) return 0;
  CHECK(tree.at(3) == batch.epoch);
  size_t n_compared = 0;
  for (const auto& event : tree.at(1)) {
    if (!testing::is_kept(event)) continue;
    CHECK(n_compared < batch.events.size());
    testing::compare(batch, batch.events[n_compared++], event);
  }
  CHECK(n_compared == batch.events.size());
  return 0;
}
