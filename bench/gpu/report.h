// Report: what a stage has found. Each result is printed at once and appended to a file as a line
// of JSON, so that a run that is cut short leaves all that it had:
//   {"stage": "rates", "op": "linear Q8_0", "us": 12.5, …}           a result
//   {"stage": "rates", "status": "ok", "seconds": 31.0, "summary": …}  the last line of the stage
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace lockstep::gpu_check {

// A JSON object that is written member by member.
class JsonObject {
 public:
  JsonObject& add(std::string_view key, std::string_view value);
  JsonObject& add(std::string_view key, const char* value) {
    return add(key, std::string_view(value));
  }
  JsonObject& add(std::string_view key, double value);
  JsonObject& add(std::string_view key, int64_t value);
  const std::string& members() const { return members_; }  // "a": 1, "b": "x"

 private:
  JsonObject& add_raw(std::string_view key, const std::string& value);
  std::string members_;
};

class Report {
 public:
  // Begins the stage's time. path: of the file; empty = results are printed only.
  Report(std::string stage, std::string path, double max_seconds);

  // True after max_seconds. The stage then begins nothing more, and its status is "cut short".
  bool out_of_time();
  double seconds() const;  // since the begin
  double seconds_left() const { return max_seconds_ - seconds(); }

  void result(const std::string& text, const JsonObject& members);
  void note(const std::string& text) const;  // is printed only

  // The last line. They return the exit code of the program.
  int ended(bool is_right, const std::string& summary);
  int skipped(const std::string& why);

 private:
  void append(const JsonObject& members) const;
  void last_line(const char* status, const std::string& summary) const;

  // constant after construction
  const std::string stage_, path_;
  const double max_seconds_;
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();

  bool cut_short_ = false;
};

inline constexpr int kExitRight = 0, kExitWrong = 1, kExitNoGpu = 2, kExitUsage = 64;

}  // namespace lockstep::gpu_check
