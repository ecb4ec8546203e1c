// Files that a test writes. One test binary runs as several processes at once, so a name that is
// written in a test would be shared by two of them.
#pragma once

#include <string>
#include <string_view>

namespace lockstep::testing {

// A path in the temporary folder that no other object of any process has. The path is free at
// first; the destructor removes the file or folder that lies there.
class TemporaryPath {
 public:
  explicit TemporaryPath(std::string_view suffix = "");
  ~TemporaryPath();
  TemporaryPath(const TemporaryPath&) = delete;
  TemporaryPath& operator=(const TemporaryPath&) = delete;

  const std::string& str() const { return path_; }
  const char* c_str() const { return path_.c_str(); }
  // Makes `content` the file's whole content.
  void write(std::string_view content) const;
  // Writes a file at `below` ("/proc/meminfo") of the folder that is at this path.
  void write_below(const std::string& below, std::string_view content) const;

 private:
  const std::string path_;
};

}  // namespace lockstep::testing
