#include "node/service/admin/cache_page.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "common/text/utf8.h"
#include "node/engine/core/engine_core.h"
#include "wire/codec/json_text.h"

namespace lockstep {
namespace {

using nlohmann::ordered_json;

constexpr size_t kMaxWaiting = 64;   // replies; an older one has been answered by its timeout
constexpr int32_t kTextTokens = 64;  // of a prefix

double seconds(Clock::TimePoint::duration d) { return std::chrono::duration<double>(d).count(); }

// 64-bit values are written as text, because many JSON readers parse numbers as doubles.
std::string hex(uint64_t value) {
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(value));
  return digits;
}

std::string text_of(const Tokenizer& tokenizer, const std::vector<int32_t>& tokens) {
  std::string bytes;
  for (int32_t token : tokens) bytes += tokenizer.token_bytes(token, true);
  return utf8::is_valid(bytes) ? bytes : utf8::replace_invalid(bytes);
}

ordered_json salt_json(bool has_salt, uint64_t key_hash) {
  return has_salt ? ordered_json(hex(key_hash)) : ordered_json(nullptr);
}

ordered_json blocks_json(const EngineSnapshot& s) {
  return {{"total", s.n_blocks_total},
          {"free", s.n_blocks_free},
          {"cached", s.n_blocks_cached},
          {"active", s.n_blocks_active},
          {"reserved", s.n_blocks_reserved}};
}

ordered_json salts_json(const CacheReport& report) {
  ordered_json largest = ordered_json::array();
  for (const KeyOccupancy& key : report.keys) {
    largest.push_back(
        {{"salt_hash", salt_json(key.has_salt, key.key_hash)}, {"blocks", key.n_blocks}});
  }
  return {{"count", report.n_keys}, {"largest", largest}};
}

ordered_json tenants_json(const CacheReport& report, const std::vector<TenantConfig>& tenants) {
  ordered_json out = ordered_json::array();
  for (size_t t = 0; t < std::min(report.tenants.size(), tenants.size()); ++t) {
    out.push_back({{"name", tenants[t].name},
                   {"used", report.tenants[t].n_used},
                   {"cached", report.tenants[t].n_cached},
                   {"floor", tenants[t].floor},
                   {"ceiling", tenants[t].ceiling}});
  }
  return out;
}

}  // namespace

CachePage::CachePage(const ServedModel& model, const Clock& clock, bool with_text)
    : model_(model), clock_(clock), with_text_(with_text) {}

AdminResponse CachePage::loading() {
  return {503, "application/json", "{\"error\":\"the cache cannot be looked at yet\"}\n"};
}

CacheReportLimits CachePage::limits() const {
  return {.n_first_tokens = with_text_ ? kTextTokens : 0};
}

void CachePage::get(AdminReply reply) {
  take_reading();
  {
    std::lock_guard lock(latest_->mutex);
    std::vector<std::function<void()>>& waiting = latest_->waiting;
    if (waiting.size() == kMaxWaiting) waiting.erase(waiting.begin());
    waiting.push_back([this, reply = std::move(reply)] { reply([this] { return latest(); }); });
    if (std::exchange(latest_->is_asked, true)) return;
  }
  auto reading = std::make_shared<Reading>(Reading{{}, CacheWalk(limits().n_first_tokens), {}});
  read_on(model_.engine, latest_, std::move(reading), clock_);
}

// Reads one piece, and the next one after the engine's next turn. The result is always handed over,
// so that the engine's thread does not have to free it.
void CachePage::read_on(Engine& engine, const std::shared_ptr<Latest>& latest,
                        std::shared_ptr<Reading> reading, const Clock& clock) {
  const bool taken = engine.post(
      [&engine, latest, reading = std::move(reading), &clock](EngineCore& core) mutable {
        if (!reading->walk.step(core.scheduler().cache().index(), core.cache_history())) {
          return read_on(engine, latest, std::move(reading), clock);
        }
        reading->report = count_cache(core);
        reading->made = clock.now();
        hand_over(*latest, std::move(reading));
      });
  if (!taken) hand_over(*latest, nullptr);  // the previous report is used
}

void CachePage::hand_over(Latest& latest, std::shared_ptr<Reading> reading) {
  std::vector<std::function<void()>> waiting;
  {
    std::lock_guard lock(latest.mutex);
    if (reading) latest.reading = std::move(reading);
    latest.is_asked = false;
    waiting.swap(latest.waiting);
  }
  for (const auto& reply : waiting) reply();
}

void CachePage::take_reading() {
  std::shared_ptr<Reading> reading;
  {
    std::lock_guard lock(latest_->mutex);
    reading = std::move(latest_->reading);
  }
  if (!reading) return;
  made_ = reading->made;
  report_ = std::move(reading->report);
  add_walk(*report_, reading->walk, limits());
}

AdminResponse CachePage::latest() {
  take_reading();
  return report_ ? AdminResponse{200, "application/json", json(*report_, made_)} : loading();
}

std::string CachePage::json(const CacheReport& report, Clock::TimePoint made) const {
  const EngineSnapshot s = model_.engine.snapshot();
  ordered_json out;
  out["model"] = model_.name;
  out["epoch"] = model_.epoch;
  out["age_seconds"] = seconds(clock_.now() - made);
  out["prefix_cache"] = report.is_enabled;
  out["block_size"] = report.block_size;
  out["blocks"] = blocks_json(s);
  out["indexed_blocks"] = report.n_indexed;
  out["sequences"] = {{"running", s.n_running}, {"waiting", s.n_waiting}};
  out["tokens"] = {
      {"prompt", s.n_prompt_tokens}, {"cached", s.n_cached_tokens}, {"output", s.n_output_tokens}};
  out["evictions"] = {{"room", s.n_blocks_evicted}};
  if (model_.block_events != nullptr) {
    const BlockEventState state = model_.block_events->state();
    out["events"] = {{"seq", state.n_batches}, {"digest", hex(state.digest)}};
  }
  out["tenants"] = tenants_json(report, model_.engine.config().tenants);
  out["salts"] = salts_json(report);
  ordered_json& prefixes = out["prefixes"] = ordered_json::array();
  for (const HotPrefix& prefix : report.prefixes) {
    ordered_json& row = prefixes.emplace_back();
    row["hash"] = hex(prefix.hash);
    row["salt_hash"] = salt_json(prefix.has_salt, prefix.key_hash);
    row["blocks"] = prefix.n_blocks;
    row["tokens"] = prefix.n_blocks * report.block_size;
    row["hits"] = prefix.n_hits;
    row["children"] = prefix.n_children;
    row["idle_seconds"] = seconds(made - prefix.last_used);
    if (with_text_) row["text"] = text_of(model_.tokenizer(), prefix.first_tokens);
  }
  return json_text(out) + "\n";
}

}  // namespace lockstep
