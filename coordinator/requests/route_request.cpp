#include "coordinator/requests/route_request.h"

#include <algorithm>
#include <array>
#include <span>
#include <string_view>

#include "common/prefix_hash.h"

namespace lockstep {
namespace {

// Of a text whose tokens are not known: how many bytes a token has, and how many of the first bytes
// decide where the text goes.
constexpr size_t kBytesPerToken = 4, kAffinityBytes = 256;
// Of a prompt without a full block: how many of the first ids do.
constexpr size_t kAffinityIds = 16;

size_t text_bytes(const wire::Generate& generate) {
  if (generate.prompt_text) return generate.prompt_text->size();
  size_t n_bytes = 0;
  if (generate.messages) {
    for (const wire::ChatMessage& message : *generate.messages) n_bytes += message.content.size();
  }
  return n_bytes;
}

std::string_view first_text(const wire::Generate& generate) {
  if (generate.prompt_text) return *generate.prompt_text;
  if (generate.messages && !generate.messages->empty()) return generate.messages->front().content;
  return {};
}

// Requests of one session, or whose prompts begin alike, go together.
uint64_t affinity_of(const Inflight& request, const wire::Generate& generate) {
  if (!generate.prompt_cache_key.empty()) return route_affinity(generate.prompt_cache_key);
  if (request.prompt) {
    if (!request.prompt->block_hashes.empty()) return request.prompt->block_hashes.front();
    const std::span<const int32_t> ids = request.prompt->ids;
    return prefix_hash(prefix_hash(generate.cache_salt),
                       ids.first(std::min(ids.size(), kAffinityIds)));
  }
  return route_affinity(first_text(generate).substr(0, kAffinityBytes)) ^
         route_affinity(generate.cache_salt);
}

}  // namespace

RouteRequest route_request(const Inflight& request) {
  constexpr std::array kKinds = {RouteKind::kGenerate, RouteKind::kTokenize,
                                 RouteKind::kDetokenize};
  RouteRequest out;
  out.key = {model_of(request.request), kKinds[request.request.index()]};
  const auto* generate = std::get_if<wire::Generate>(&request.request);
  if (generate == nullptr) return out;
  out.n_choices = generate->n;
  out.max_output_tokens = generate->max_tokens;
  out.affinity = affinity_of(request, *generate);
  out.has_tokens = request.prompt.has_value();
  out.n_prompt_tokens = static_cast<int64_t>(
      request.prompt ? request.prompt->ids.size() : text_bytes(*generate) / kBytesPerToken + 1);
  out.n_prompt_tokens += static_cast<int64_t>(request.n_outputs());
  if (request.prompt && request.prompt->block_size > 0) {
    out.block_hashes = request.prompt->block_hashes;
    out.block_size = request.prompt->block_size;
  }
  return out;
}

}  // namespace lockstep
