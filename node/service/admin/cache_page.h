// CachePage: `GET /v1/cache` of the admin port: what the KV pool and the prefix cache hold, as
// JSON. The engine lets the page read a piece between two turns (CacheWalk); the rest is done on
// the thread that writes the answer. Whoever cannot wait gets the report before.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "common/clock.h"
#include "common/service/http/admin_http.h"
#include "node/engine/report/cache_report.h"
#include "node/engine/report/cache_walk.h"
#include "node/service/requests/model_front.h"

namespace lockstep {

class CachePage {
 public:
  static constexpr std::chrono::milliseconds kTimeout{1000};

  // Both must outlive this, which outlives the answers. with_text: what prompts say is shown.
  CachePage(const ModelFront& model, const Clock& clock, bool with_text);

  // Asks the engine for a new report, unless one is on its way, and replies when it is made. The
  // thread that writes answers only, as latest().
  void get(AdminReply reply);
  // The report before, or 503.
  AdminResponse latest();
  static AdminResponse loading();  // 503

 private:
  // What the engine hands over.
  struct Reading {
    CacheReport report;  // without the walk
    CacheWalk walk;
    Clock::TimePoint made;
  };
  // Shared with the task that the engine runs, which may outlive this.
  struct Latest {
    std::mutex mutex;
    // guarded by mutex
    std::shared_ptr<Reading> reading;            // or null
    std::vector<std::function<void()>> waiting;  // for the one that is being made
    bool is_asked = false;
  };
  static void read_on(Engine& engine, const std::shared_ptr<Latest>& latest,
                      std::shared_ptr<Reading> reading, const Clock& clock);
  static void hand_over(Latest& latest, std::shared_ptr<Reading> reading);

  CacheReportLimits limits() const;
  void take_reading();
  std::string json(const CacheReport& report, Clock::TimePoint made) const;

  const ModelFront& model_;
  const Clock& clock_;
  const bool with_text_;
  const std::shared_ptr<Latest> latest_ = std::make_shared<Latest>();
  // of the thread that writes answers
  std::optional<CacheReport> report_;
  Clock::TimePoint made_;
};

}  // namespace lockstep
