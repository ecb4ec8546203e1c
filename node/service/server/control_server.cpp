#include "node/service/server/control_server.h"

#include <memory>
#include <optional>
#include <utility>

#include "common/log.h"
#include "node/engine/core/engine_core.h"
#include "node/service/requests/generate_params.h"
#include "wire/limits.h"

namespace lockstep {
namespace {

const Error kBusy{ErrorCode::kOverloaded, "the engine has too many tasks waiting, or is stopping",
                  ""};

Result<ClearScope> scope_of(const ServedModel& model, const wire::ClearKvCache& ask) {
  ClearScope scope;
  if (ask.scope == "all") return scope;
  if (ask.scope == "model") {
    TRY([[maybe_unused]] const Ok known, check_model(model, ask.model));
  } else if (ask.scope == "salt") {
    scope.salt = ask.cache_salt;
  } else if (ask.scope == "tenant") {
    TRY(scope.tenant, tenant_index(model.engine.config().tenants, ask.tenant));
  } else {
    return Error{ErrorCode::kInvalidRequest,
                 str("scope must be 'all', 'model', 'tenant' or 'salt', not '",
                     ask.scope.substr(0, wire::kMaxTenantBytes), "'"),
                 "scope"};
  }
  return scope;
}

uint64_t count(int32_t n) { return static_cast<uint64_t>(n); }

}  // namespace

ControlServer::ControlServer(const ServedModel& model, RequestServer& requests,
                             Completions& completions)
    : model_(model), requests_(requests), completions_(completions) {}

template <class Answer>
bool ControlServer::ask_engine(const std::function<Answer(EngineCore&)>& ask,
                               const std::function<void(Answer&&)>& finish) {
  if (n_open_ == kMaxOpen) return false;
  const auto answer = std::make_shared<Answer>();
  const bool taken = model_.engine.post([ask, answer](EngineCore& core) { *answer = ask(core); },
                                        [this, finish, answer] {
                                          completions_.add([this, finish, answer] {
                                            --n_open_;
                                            finish(std::move(*answer));
                                          });
                                        });
  if (taken) ++n_open_;
  return taken;
}

void ControlServer::clear(const wire::ClearKvCache& ask, const Reply<wire::KvCacheCleared>& reply) {
  const Result<ClearScope> scope = scope_of(model_, ask);
  if (!scope) return reply(scope.error());
  const bool taken = ask_engine<ClearedCache>(
      [scope = *scope](EngineCore& core) { return clear_kv_cache(core, scope); },
      [this, id = ask.request_id, reply](ClearedCache&& cleared) {
        wire::KvCacheCleared out;
        out.request_id = id;
        out.n_cleared = cleared.n_cleared;
        out.n_host_cleared = cleared.n_host_cleared;
        out.n_busy = cleared.n_busy;
        out.busy = to_wire(cleared.busy);
        reply(std::move(out));
      });
  if (!taken) reply(kBusy);
}

void ControlServer::slots(const wire::SlotsRequest& ask, const Reply<wire::SlotList>& reply) {
  const bool taken = ask_engine<std::vector<SlotInfo>>(
      list_slots, [this, id = ask.request_id, reply](std::vector<SlotInfo>&& slots) {
        reply(wire::SlotList{id, to_wire(slots)});
      });
  if (!taken) reply(kBusy);
}

wire::Description ControlServer::describe(const std::string& request_id) const {
  return {request_id, {model_.description}};
}

std::vector<wire::Slot> ControlServer::to_wire(const std::vector<SlotInfo>& slots) {
  std::vector<wire::Slot> out;
  for (const SlotInfo& slot : slots) {
    std::string name = requests_.name_of(slot.request);
    if (name.empty()) continue;  // it has ended meanwhile
    out.push_back({std::move(name), slot.choice, std::string(to_string(slot.state)),
                   count(slot.n_prompt), count(slot.n_cached), count(slot.n_computed),
                   count(slot.n_output), slot.n_blocks});
  }
  return out;
}

}  // namespace lockstep
