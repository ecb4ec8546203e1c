// MappedFile: one read-only file in memory for as long as this object lives. Knows nothing of what
// the bytes mean. Bytes that the file no longer has, or that its disk cannot read, are zero;
// whoever read something asks check_unchanged() before believing it. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "node/model/files/gguf/sigbus_guard.h"

struct stat;

namespace lockstep {

// A file descriptor that closes itself.
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

  std::span<const std::byte> bytes() const { return bytes_; }
  // Drops the pages of [data, data + n_bytes) from this process, with all that reading them mapped
  // around them. Whatever of it is wanted again is read again from the file.
  void release(const std::byte* data, int64_t n_bytes) const;
  // Throws LoadError naming the file, and the offset where it can: it has another size or time of
  // writing than when it was opened, or bytes of it could not be read.
  void check_unchanged() const;

 private:
  // constant after construction
  const std::string path_;
  OpenFile file_;
  int64_t written_ns_ = 0;  // last written, since 1970
  std::span<const std::byte> bytes_;
  std::optional<SigbusGuard> guard_;
};

}  // namespace lockstep
