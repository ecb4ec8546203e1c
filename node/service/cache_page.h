// CachePage: `GET /v1/cache` of the admin port: what the KV pool and the prefix cache hold, as
// JSON. The engine makes the report between two turns; the page waits for it a moment only, because
// the admin port answers probes too, and shows the one before if a long step is running. Any
// thread.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>

#include "common/clock.h"
#include "common/service/admin_http.h"
#include "node/engine/cache_report.h"
#include "node/service/model_front.h"

namespace lockstep {

class CachePage {
 public:
  // Both must outlive this. with_text: what prompts say is shown.
  CachePage(const ModelFront& model, const Clock& clock, bool with_text);

  AdminResponse get();
  static AdminResponse loading();  // 503

 private:
  // Shared with the task that the engine runs, which may outlive this.
  struct Latest {
    std::mutex mutex;
    std::condition_variable changed;
    // guarded by mutex
    std::optional<CacheReport> report;
    Clock::TimePoint made;
    uint64_t n_made = 0;
    bool is_asked = false;
  };

  void ask();
  std::string json(const CacheReport& report, Clock::TimePoint made) const;

  const ModelFront& model_;
  const Clock& clock_;
  const bool with_text_;
  const std::shared_ptr<Latest> latest_ = std::make_shared<Latest>();
};

}  // namespace lockstep
