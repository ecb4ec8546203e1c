// digest_of: a hash of everything in a request that decides what its client receives. A resume
// token holds it, so that the token serves the request that it was issued for and no other. Pure;
// any thread.
//
// Left out, because two requests that differ only here get the same output:
//   request_id, emitted, attempt   how the request travels
//   cache_prompt, cache_salt, cache_retention   where keys and values come from (docs/numerics.md)
//   tenant, priority, deadline_ms   when the request runs
// The seed is left out too: the token holds it, because the coordinator picks it if the client
// gives none. Every other field is in the digest, return_token_ids too: it decides what a chunk
// holds. A field that is not mentioned here decides the output until it is.
//
// A field that has its default value does not change the digest. Coordinators of two versions
// therefore agree on all requests that do not use a field that only one of them knows.
#pragma once

#include <array>
#include <span>

#include "wire/messages.h"

namespace lockstep {

using RequestDigest = std::array<unsigned char, 32>;

// Of all prompts of one request, in their order.
RequestDigest digest_of(std::span<const wire::Generate> prompts);

}  // namespace lockstep
