#include "coordinator/requests/client_request.h"

#include <utility>

#include "wire/codec/codec.h"

namespace lockstep {

const std::string& id_of(const ClientRequest& request) {
  return std::visit([](const auto& r) -> const std::string& { return r.request_id; }, request);
}

const std::string& model_of(const ClientRequest& request) {
  return std::visit([](const auto& r) -> const std::string& { return r.model; }, request);
}

void set_model_if_empty(ClientRequest& request, const std::string& model) {
  std::visit(
      [&](auto& r) {
        if (r.model.empty()) r.model = model;
      },
      request);
}

std::string encode_attempt(ClientRequest& request, AttemptFields fields) {
  const auto swap_fields = [&] {
    std::visit([&](auto& r) { std::swap(r.request_id, fields.request_id); }, request);
    auto* generate = std::get_if<wire::Generate>(&request);
    if (generate == nullptr) return;
    std::swap(generate->attempt, fields.attempt);
    std::swap(generate->emitted, fields.emitted);
    std::swap(generate->deadline_ms, fields.deadline_ms);
  };
  swap_fields();
  auto* generate = std::get_if<wire::Generate>(&request);
  const bool has_ids = generate != nullptr && fields.prompt_ids != nullptr;
  if (has_ids) generate->prompt_ids = std::move(*fields.prompt_ids);
  std::string bytes = std::visit([](const auto& r) { return wire::encode(r); }, request);
  if (has_ids) {
    *fields.prompt_ids = std::move(*generate->prompt_ids);
    generate->prompt_ids.reset();
  }
  swap_fields();
  return bytes;
}

bool is_same_request(ClientRequest request, const ClientRequest& original) {
  const auto* first = std::get_if<wire::Generate>(&original);
  auto* again = std::get_if<wire::Generate>(&request);
  if (first != nullptr && again != nullptr) {
    if (!again->seed) again->seed = first->seed;
    if (!again->max_tokens) again->max_tokens = first->max_tokens;
    again->emitted = first->emitted;
    again->attempt = first->attempt;
  }
  set_model_if_empty(request, model_of(original));
  return request == original;
}

}  // namespace lockstep
