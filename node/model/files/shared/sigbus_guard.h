// SigbusGuard: keeps a failed read of a mapped file from ending the process with SIGBUS. While the
// guard lives, a read of a page that the kernel cannot serve (the file was truncated, its disk
// fails) gives zeros and is recorded. A page that was replaced in this way stays zero. SIGBUS at
// other addresses goes to the previous handler. Guards are created and destroyed, and mappings
// read, on any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace lockstep {

class SigbusGuard {
 public:
  static constexpr int kMaxGuards = 256;  // at once in a process

  // `mapping`: the range that mmap() returned; it must outlive the guard. Throws LoadError if
  // kMaxGuards exist already.
  explicit SigbusGuard(std::span<const std::byte> mapping);
  ~SigbusGuard();
  SigbusGuard(const SigbusGuard&) = delete;
  SigbusGuard& operator=(const SigbusGuard&) = delete;

  // The lowest offset of a page whose read failed; nullopt if none did.
  std::optional<uint64_t> first_unreadable() const;

 private:
  int slot_;
};

}  // namespace lockstep
