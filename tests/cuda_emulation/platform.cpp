#include "tests/cuda_emulation/platform.h"

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <stdexcept>

#include "tests/cuda_emulation/device_memory.h"
#include "tests/cuda_emulation/work_queue.h"

namespace lockstep::cuda_emulation {
namespace {

constexpr size_t kMib = size_t{1} << 20;
constexpr size_t kMostCapability = 999;
constexpr size_t kMostMib = size_t{1} << 20;  // a terabyte

[[noreturn]] void refuse(const char* name, const std::string& value, const std::string& expected) {
  throw std::invalid_argument(std::string(name) + "=" + value + ": expected " + expected);
}

bool choice_of(const char* name, const std::string& value, const char* yes, const char* no) {
  if (value != yes && value != no) refuse(name, value, std::string(yes) + " or " + no);
  return value == yes;
}

size_t number_of(const char* name, const std::string& value, size_t most) {
  size_t number = 0;
  const char* end = value.data() + value.size();
  const auto [rest, error] = std::from_chars(value.data(), end, number);
  if (error != std::errc() || rest != end || number > most) {
    refuse(name, value, "a number up to " + std::to_string(most));
  }
  return number;
}

Platform of_environment() {
  try {
    return platform_of([](const char* name) {
      const char* value = std::getenv(name);
      return std::string(value != nullptr ? value : "");
    });
  } catch (const std::invalid_argument& wrong) {
    std::fprintf(stderr, "emulated CUDA: %s\n", wrong.what());
    std::_Exit(2);
  }
}

std::mutex mutex;

Platform& current() {  // guarded by mutex
  static Platform platform = [] {
    Platform first = of_environment();
    set_guard(first.guard);
    return first;
  }();
  return platform;
}

}  // namespace

Platform platform_of(const std::function<std::string(const char*)>& variable) {
  Platform platform;
  const auto read = [&](const char* name, const auto& use) {
    if (const std::string value = variable(name); !value.empty()) use(name, value);
  };
  read("LOCKSTEP_EMULATION", [&](const char* name, const std::string& value) {
    platform.lazy = choice_of(name, value, "lazy", "eager");
    platform.faults_are_errors = true;
  });
  read("LOCKSTEP_EMULATION_GUARD", [&](const char* name, const std::string& value) {
    platform.guard = choice_of(name, value, "on", "off");
  });
  read("LOCKSTEP_EMULATION_DEVICES", [&](const char* name, const std::string& value) {
    platform.n_devices =
        static_cast<int>(number_of(name, value, static_cast<size_t>(platform.n_devices)));
  });
  read("LOCKSTEP_EMULATION_CAPABILITY", [&](const char* name, const std::string& value) {
    platform.compute_version = static_cast<int>(number_of(name, value, kMostCapability));
  });
  read("LOCKSTEP_EMULATION_MEMORY_MIB", [&](const char* name, const std::string& value) {
    platform.device_bytes = number_of(name, value, kMostMib) * kMib;
  });
  platform.fault_file = variable("LOCKSTEP_EMULATION_FAULT_FILE");
  platform.hang_file = variable("LOCKSTEP_EMULATION_HANG_FILE");
  return platform;
}

Platform platform() {
  const std::lock_guard lock(mutex);
  return current();
}

void set_platform(const Platform& platform) {
  const std::lock_guard lock(mutex);
  current() = platform;
  set_guard(platform.guard);
  repair_devices();
}

}  // namespace lockstep::cuda_emulation
