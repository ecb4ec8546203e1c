// MappedFile: one file, mapped read-only for as long as this object lives. Knows nothing of what
// the bytes mean. Bytes that the file no longer has, or that its disk cannot read, read as zero, so
// a reader calls check_unchanged() before it uses what it has read. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "node/model/files/shared/sigbus_guard.h"

struct stat;

namespace lockstep {

// Owns an open file descriptor.
class OpenFile {
 public:
  explicit OpenFile(const std::string& path);  // throws LoadError
  ~OpenFile();
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  struct stat status() const;  // throws LoadError
  int fd() const { return fd_; }

 private:
  int fd_;
};

class MappedFile {
 public:
  // Throws LoadError unless `path` is a readable regular file that is not empty.
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  std::span<const std::byte> bytes() const { return bytes_; }
  bool holds(const std::byte* data) const;  // whether it points into bytes()
  // Drops the pages of [data, data + n_bytes) from this process, and the pages that the kernel
  // mapped around them. A later read of these bytes reads the file again.
  void release(const std::byte* data, int64_t n_bytes) const;
  // Throws LoadError naming the file, and the offset if it is known, if the file's size or time of
  // writing differs from when it was opened, or if bytes of it could not be read.
  void check_unchanged() const;

 private:
  // constant after construction
  const std::string path_;
  OpenFile file_;
  int64_t written_ns_ = 0;  // time of the last write, nanoseconds since 1970
  std::span<const std::byte> bytes_;
  std::optional<SigbusGuard> guard_;
};

}  // namespace lockstep
