#include "node/engine/report/cache_control.h"

#include "node/engine/core/engine_core.h"

namespace lockstep {
namespace {

SlotInfo info_of(const Sequence& sequence) {
  SlotInfo info;
  info.request = sequence.owner().request.id;
  info.choice = sequence.choice();
  info.state = sequence.state();
  info.n_prompt = sequence.n_prompt();
  info.n_cached = sequence.n_cached();
  info.n_computed = sequence.n_computed();
  info.n_output = sequence.n_outputs();
  info.n_blocks = sequence.table().n_blocks();
  return info;
}

}  // namespace

ClearedCache clear_kv_cache(EngineCore& core, const ClearScope& scope) {
  const BlockPool& pool = core.scheduler().pool();
  const PrefixIndex& index = core.cache().index();
  ClearedCache out;
  out.n_cleared = core.cache().clear([&](BlockId entry) {
    if (scope.salt && index.key(entry).salt != *scope.salt) return false;
    return !scope.tenant || pool.owner(entry) == *scope.tenant;
  });
  out.n_host_cleared = core.host_tier().clear([&](uint64_t key_hash, int32_t tenant) {
    if (scope.salt && key_hash != prefix_hash(PrefixKey{*scope.salt})) return false;
    return !scope.tenant || tenant == *scope.tenant;
  });
  for (const Sequence* sequence : core.scheduler().running()) {
    out.busy.push_back(info_of(*sequence));
  }
  out.n_busy = pool.n_blocks_total() - pool.n_blocks_free() - pool.n_blocks_cached();
  return out;
}

std::vector<SlotInfo> list_slots(const EngineCore& core) {
  std::vector<SlotInfo> out;
  for (const Sequence* sequence : core.scheduler().running()) out.push_back(info_of(*sequence));
  const WaitingQueue& waiting = core.scheduler().waiting();
  for (size_t tenant = 0; tenant < waiting.n_tenants(); ++tenant) {
    for (const Sequence* sequence : waiting.of(tenant)) out.push_back(info_of(*sequence));
  }
  for (const Sequence* sequence : waiting.deferred().all()) out.push_back(info_of(*sequence));
  return out;
}

}  // namespace lockstep
