// Stack switches announced to AddressSanitizer, which else takes a fiber's stack for a wild
// pointer. Without ASan all of this is nothing.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace lockstep::cuda_emulation {

struct StackBounds {
  const void* bottom = nullptr;
  size_t size = 0;
};

// Leaves this stack for another one; destroyed on this one, once another switch has come back to
// it.
class StackSwitch {
 public:
#if defined(__SANITIZE_ADDRESS__)
  explicit StackSwitch(const StackBounds& to) {
    __sanitizer_start_switch_fiber(&fake_stack_, to.bottom, to.size);
  }
  ~StackSwitch() { __sanitizer_finish_switch_fiber(fake_stack_, nullptr, nullptr); }
#else
  explicit StackSwitch(const StackBounds& /*to*/) {}
  ~StackSwitch() {}
#endif
  StackSwitch(const StackSwitch&) = delete;
  StackSwitch& operator=(const StackSwitch&) = delete;

  // First thing on a new stack: where it was come from.
  static StackBounds entered() {
    StackBounds from;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &from.bottom, &from.size);
#endif
    return from;
  }
  // Last thing on a stack that ends.
  static void leave_for_good([[maybe_unused]] const StackBounds& to) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(nullptr, to.bottom, to.size);
#endif
  }

 private:
  [[maybe_unused]] void* fake_stack_ = nullptr;
};

}  // namespace lockstep::cuda_emulation
