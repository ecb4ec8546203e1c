// CacheReceipts: collects, for the prompts of one request, what was found in the prefix cache and
// why not more (docs/kv-cache.md). Pure; one thread at a time.
#pragma once

#include <map>
#include <string>

#include "wire/messages.h"

namespace lockstep {

class CacheReceipts {
 public:
  void done(const wire::Done& done);  // to be called once per prompt

  // Returns "hit; matched=48; divergent=50, never_seen; …": one receipt for each prompt that has
  // ended, in the order of the prompts. Empty if no node sent a receipt.
  std::string text() const;

 private:
  std::map<size_t, std::string> of_prompt_;
};

}  // namespace lockstep
