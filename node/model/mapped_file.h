// MappedFile: one read-only file in memory for as long as this object lives. Knows nothing of what
// the bytes mean. A file that shrinks while it is mapped ends the process (SIGBUS); model files are
// not written in place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace lockstep {

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

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace lockstep
