#include "bench/gpu/report.h"

#include <cstdio>
#include <fstream>
#include <utility>

namespace lockstep::gpu_check {
namespace {

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out + '"';
}

}  // namespace

JsonObject& JsonObject::add_raw(std::string_view key, const std::string& value) {
  if (!members_.empty()) members_ += ", ";
  members_ += quoted(key) + ": " + value;
  return *this;
}

JsonObject& JsonObject::add(std::string_view key, std::string_view value) {
  return add_raw(key, quoted(value));
}

JsonObject& JsonObject::add(std::string_view key, double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.5g", value);
  return add_raw(key, text);
}

JsonObject& JsonObject::add(std::string_view key, int64_t value) {
  return add_raw(key, std::to_string(value));
}

Report::Report(std::string stage, std::string path, double max_seconds)
    : stage_(std::move(stage)), path_(std::move(path)), max_seconds_(max_seconds) {}

double Report::seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
}

bool Report::out_of_time() {
  cut_short_ = cut_short_ || seconds() >= max_seconds_;
  return cut_short_;
}

void Report::append(const JsonObject& members) const {
  if (path_.empty()) return;
  std::ofstream file(path_, std::ios::app);
  file << "{\"stage\": " << quoted(stage_) << ", " << members.members() << "}\n";
}

void Report::note(const std::string& text) const {
  std::printf("%s\n", text.c_str());
  std::fflush(stdout);
}

void Report::result(const std::string& text, const JsonObject& members) {
  note(text);
  append(members);
}

void Report::last_line(const char* status, const std::string& summary) const {
  note(std::string(status) + ": " + summary);
  append(JsonObject().add("status", status).add("seconds", seconds()).add("summary", summary));
}

int Report::ended(bool is_right, const std::string& summary) {
  last_line(!is_right ? "failed" : cut_short_ ? "cut short" : "ok", summary);
  return is_right ? kExitRight : kExitWrong;
}

int Report::skipped(const std::string& why) {
  last_line("skipped", why);
  return kExitRight;
}

}  // namespace lockstep::gpu_check
