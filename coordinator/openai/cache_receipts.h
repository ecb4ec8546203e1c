// CacheReceipts: why the prompts of one request were found in the prefix cache, or were not
// (docs/kv-cache.md). Pure; one thread at a time.
#pragma once

#include <map>
#include <string>

#include "wire/messages.h"

namespace lockstep {

class CacheReceipts {
 public:
  void done(const wire::Done& done);  // one per prompt

  // "hit; matched=48; divergent=50, never_seen; …": one for each prompt that has ended, in their
  // order; empty if no node gave one.
  std::string text() const;

 private:
  std::map<size_t, std::string> of_prompt_;
};

}  // namespace lockstep
