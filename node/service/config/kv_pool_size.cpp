#include "node/service/config/kv_pool_size.h"

#include <algorithm>
#include <string>
#include <vector>

#include "common/load_error.h"
#include "common/log.h"

namespace lockstep {
namespace {

constexpr int64_t kMaxBlocks = int64_t{1} << 30;

// Each given setting with its value.
std::vector<std::string> given(const KvPoolSetting& setting) {
  std::vector<std::string> names;
  if (setting.n_blocks != 0) names.push_back(str("num_kv_blocks: ", setting.n_blocks));
  if (setting.memory_bytes != 0) {
    names.push_back(str("kv_cache_memory_bytes: ", setting.memory_bytes));
  }
  if (setting.memory_fraction != 0) {
    names.push_back(str("kv_cache_memory_fraction: ", setting.memory_fraction));
  }
  return names;
}

void refuse_contradiction(const KvPoolSetting& setting) {
  const std::vector<std::string> names = given(setting);
  if (names.size() < 2) return;
  throw LoadError(names[0] + " and " + names[1] + " both size the KV pool; give one of them");
}

void check_ranges(const KvPoolSetting& setting) {
  const auto refuse = [](const char* field, auto value, const char* range) {
    throw LoadError(str(field, ": ", value, " is outside ", range));
  };
  if (setting.n_blocks < 0 || setting.n_blocks > kMaxBlocks) {
    refuse("num_kv_blocks", setting.n_blocks, "0 to 1073741824");
  }
  if (setting.memory_bytes < 0) {
    refuse("kv_cache_memory_bytes", setting.memory_bytes, "0 and up");
  }
  if (setting.memory_fraction < 0 || setting.memory_fraction > 1) {
    refuse("kv_cache_memory_fraction", setting.memory_fraction, "0 to 1");
  }
}

int32_t blocks_in(int64_t memory_bytes, const KvPoolFacts& facts, const std::string& setting) {
  const int64_t n_blocks = std::min(memory_bytes / facts.block_bytes, kMaxBlocks);
  if (n_blocks < 1) {
    throw LoadError(str(setting, " holds no KV block; one takes ", facts.block_bytes, " bytes"));
  }
  return static_cast<int32_t>(n_blocks);
}

int32_t default_blocks(const KvPoolFacts& facts) {
  if (facts.is_on_devices) {
    return blocks_in(facts.memory_bytes_free / 10 * 9, facts,
                     str("90 % of the ", facts.memory_bytes_free, " free bytes of the devices"));
  }
  const int64_t wanted = std::min(4 * int64_t{facts.max_blocks_per_seq}, kMaxBlocks);
  if (facts.memory_bytes_free == 0) return static_cast<int32_t>(wanted);
  return static_cast<int32_t>(
      std::clamp<int64_t>(facts.memory_bytes_free / 4 / facts.block_bytes, 1, wanted));
}

}  // namespace

std::string to_string(const KvPoolSetting& setting) {
  const std::vector<std::string> names = given(setting);
  return names.empty() ? "num_kv_blocks: 0" : names.front();
}

int32_t kv_pool_blocks(const KvPoolSetting& setting, const KvPoolFacts& facts) {
  check_ranges(setting);
  refuse_contradiction(setting);
  if (setting.n_blocks > 0) return static_cast<int32_t>(setting.n_blocks);
  if (setting.memory_bytes > 0) {
    return blocks_in(setting.memory_bytes, facts,
                     str("kv_cache_memory_bytes: ", setting.memory_bytes));
  }
  if (setting.memory_fraction > 0) {
    const auto bytes = static_cast<int64_t>(setting.memory_fraction *
                                            static_cast<double>(facts.memory_bytes_free));
    return blocks_in(bytes, facts,
                     str("kv_cache_memory_fraction: ", setting.memory_fraction, " of ",
                         facts.memory_bytes_free, " free bytes"));
  }
  return default_blocks(facts);
}

int32_t host_kv_blocks(int64_t host_kv_bytes, int64_t block_bytes) {
  if (host_kv_bytes < 0) throw LoadError(str("host_kv_bytes: ", host_kv_bytes, " is below 0"));
  const int64_t n_blocks = std::min(host_kv_bytes / block_bytes, kMaxBlocks);
  if (host_kv_bytes > 0 && n_blocks < 1) {
    throw LoadError(str("host_kv_bytes: ", host_kv_bytes, " holds no KV block; one takes ",
                        block_bytes, " bytes"));
  }
  return static_cast<int32_t>(n_blocks);
}

}  // namespace lockstep
