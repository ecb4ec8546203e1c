// SigbusGuard: for as long as it lives, a read of a mapped file's page that the kernel cannot
// serve (the file was truncated, its disk fails) gives zeros and is noted, where it would end the
// process with SIGBUS. A page that has been replaced so stays zero. SIGBUS anywhere else does what
// it did before. Guards come and go on any thread; reads happen on any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace lockstep {

class SigbusGuard {
 public:
  static constexpr int kMaxGuards = 64;  // at once in a process

  // `mapping`: what mmap returned. It must outlive the guard. Throws LoadError for one too many.
  explicit SigbusGuard(std::span<const std::byte> mapping);
  ~SigbusGuard();
  SigbusGuard(const SigbusGuard&) = delete;
  SigbusGuard& operator=(const SigbusGuard&) = delete;

  // The offset of the first page that could not be read, of those that were asked for.
  std::optional<uint64_t> first_unreadable() const;

 private:
  int slot_;
};

}  // namespace lockstep
