// CachePage: `GET /v1/cache` of the admin port, the content of KV pool and prefix cache as JSON.
// The page reads one piece between two turns of the engine (CacheWalk); everything else runs on the
// thread that writes the answer. A request that times out gets the previous report.
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
#include "node/service/requests/served_model.h"

namespace lockstep {

class CachePage {
 public:
  static constexpr std::chrono::milliseconds kTimeout{1000};

  // Both must outlive this object, which outlives the answers. with_text: prompt text is shown.
  CachePage(const ServedModel& model, const Clock& clock, bool with_text);

  // Requests a new report from the engine, unless one is in progress, and replies when it is
  // complete. Like latest(), only for the thread that writes answers.
  void get(AdminReply reply);
  // Returns the previous report, or a 503.
  AdminResponse latest();
  static AdminResponse loading();  // 503

 private:
  // The engine's part of a report.
  struct Reading {
    CacheReport report;  // without the walk
    CacheWalk walk;
    Clock::TimePoint made;
  };
  // Shared with the task that the engine runs, which may outlive this object.
  struct Latest {
    std::mutex mutex;
    // guarded by mutex
    std::shared_ptr<Reading> reading;            // or null
    std::vector<std::function<void()>> waiting;  // for the report in progress
    bool is_asked = false;
  };
  static void read_on(Engine& engine, const std::shared_ptr<Latest>& latest,
                      std::shared_ptr<Reading> reading, const Clock& clock);
  static void hand_over(Latest& latest, std::shared_ptr<Reading> reading);

  CacheReportLimits limits() const;
  void take_reading();
  std::string json(const CacheReport& report, Clock::TimePoint made) const;

  const ServedModel& model_;
  const Clock& clock_;
  const bool with_text_;
  const std::shared_ptr<Latest> latest_ = std::make_shared<Latest>();
  // thread that writes answers
  std::optional<CacheReport> report_;
  Clock::TimePoint made_;
};

}  // namespace lockstep
