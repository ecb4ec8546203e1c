// The emulated CUDA module in a process of its own, as a node that is started for a test has it:
// the environment says what its devices are like.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <new>

#include "common/load_error.h"
#include "kernels/cuda_module.h"
#include "tests/cuda_emulation/counters.h"
#include "tests/support/device_values.h"

namespace lockstep {
namespace {

using cuda_emulation::Counters;
using testing::DeviceValues;

constexpr int kPassed = 7;
constexpr float kUnset = -1.0f;

// A norm of one row, whose kernel needs shared memory and barriers.
class NormOnDevice {
 public:
  explicit NormOnDevice(const CudaModule& module)
      : device_(module.open(0)), stream_(device_->make_stream({}, ledger_)) {
    x_.fill(3.0f);
    weight_.fill(2.0f);
    out_.fill(kUnset);
  }
  void launch() {
    RmsNormArgs args;
    args.x = view(x_.data(), {1, kWidth});
    args.weight = weight_.as_view();
    args.out.f32 = view(out_.data(), {1, kWidth});
    rms_norm(args, *stream_);
  }
  void wait() { stream_->wait(); }
  bool is_done() const { return std::abs(out_.get()[0] - 2.0f) < 1e-3f; }
  bool is_unset() const { return out_.get()[0] == kUnset; }
  float first_as_host() const { return *out_.data(); }

 private:
  static constexpr int64_t kWidth = 64;
  MemoryLedger ledger_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<Stream> stream_;
  DeviceValues<float> x_{*device_, kWidth}, weight_{*device_, kWidth}, out_{*device_, kWidth};
};

CudaModule load() { return value_or_throw(CudaModule::load(LOCKSTEP_EMULATED_CUDA)); }

// What a body says is wrong is its exit status.
[[noreturn]] void finish(bool passed) { std::_Exit(passed ? kPassed : 1); }

class EmulatedModuleDeathTest : public ::testing::Test {
 protected:
  EmulatedModuleDeathTest() {
    GTEST_FLAG_SET(death_test_style, "threadsafe");  // runs a body in a fresh process
    setenv("LOCKSTEP_EMULATION", "lazy", 1);
  }
  ~EmulatedModuleDeathTest() override {
    for (const char* name :
         {"", "_GUARD", "_DEVICES", "_CAPABILITY", "_MEMORY_MIB", "_FAULT_FILE"}) {
      unsetenv((std::string("LOCKSTEP_EMULATION") + name).c_str());
    }
  }
  static void set(const char* name, const std::string& value) {
    setenv((std::string("LOCKSTEP_EMULATION_") + name).c_str(), value.c_str(), 1);
  }
};
const auto kPasses = ::testing::ExitedWithCode(kPassed);

TEST_F(EmulatedModuleDeathTest, LazyWorkRunsWhenTheHostWaits) {
  const auto body = [] {
    NormOnDevice norm(load());
    norm.launch();
    const bool early = norm.is_unset();
    norm.wait();
    finish(early && norm.is_done());
  };
  EXPECT_EXIT(body(), kPasses, "");
}

TEST_F(EmulatedModuleDeathTest, EagerWorkRunsAtOnce) {
  setenv("LOCKSTEP_EMULATION", "eager", 1);
  const auto body = [] {
    NormOnDevice norm(load());
    norm.launch();
    finish(norm.is_done());
  };
  EXPECT_EXIT(body(), kPasses, "");
}

TEST_F(EmulatedModuleDeathTest, ItHasTheDevicesAndTheMemoryThatAreAskedFor) {
  set("DEVICES", "2");
  set("MEMORY_MIB", "3");
  const auto body = [] {
    const CudaModule module = load();
    std::string why_none;
    const auto devices = module.devices(why_none);
    const auto device = module.open(1);
    bool refused = false;
    try {
      device->allocate(int64_t{4} << 20, MemoryTag::kKv);
    } catch (const std::bad_alloc&) {
      refused = true;
    }
    finish(devices.size() == 2 && devices[0].memory_bytes == 3 << 20 && refused);
  };
  EXPECT_EXIT(body(), kPasses, "");
}

TEST_F(EmulatedModuleDeathTest, DevicesThatItHasNoCodeForAreNamedWithTheirCapability) {
  set("DEVICES", "1");
  set("CAPABILITY", "89");
  const auto body = [] {
    std::string why_not;
    finish(load().devices(why_not).empty() &&
           why_not ==
               "the CUDA module has no code for cuda:0 emulated GPU 0 of compute capability 8.9; "
               "it has code for 9.0 and PTX of 9.0");
  };
  EXPECT_EXIT(body(), kPasses, "");
}

TEST_F(EmulatedModuleDeathTest, WithoutADeviceItSaysWhy) {
  set("DEVICES", "0");
  const auto body = [] {
    std::string why_none;
    finish(load().devices(why_none).empty() && why_none == "no CUDA-capable device is detected");
  };
  EXPECT_EXIT(body(), kPasses, "");
}

TEST_F(EmulatedModuleDeathTest, ItsGuardStopsAHostThatReadsDeviceMemory) {
  set("GUARD", "on");
  const auto body = [] {
    NormOnDevice norm(load());
    norm.launch();
    norm.wait();
    if (!norm.is_done()) finish(false);
    finish(norm.first_as_host() > 0.0f);
  };
  EXPECT_DEATH(body(), "emulated CUDA: host code accesses device memory: byte 0 of an allocation");
}

TEST_F(EmulatedModuleDeathTest, AFaultIsAnErrorOfCuda) {
  set("FAULT_FILE", LOCKSTEP_EMULATED_CUDA);  // a file that exists
  const auto body = [] {
    NormOnDevice norm(load());
    norm.launch();
    norm.wait();
    finish(true);
  };
  EXPECT_DEATH(body(),
               "emulated CUDA: device 0: a fault, as the test wanted(.|\n)*"
               "unspecified launch failure");
}

TEST_F(EmulatedModuleDeathTest, AWrongVariableEndsTheProcess) {
  set("GUARD", "maybe");
  const auto body = [] {
    std::string why_none;
    load().devices(why_none);
    finish(true);
  };
  EXPECT_EXIT(body(), ::testing::ExitedWithCode(2),
              "LOCKSTEP_EMULATION_GUARD=maybe: expected on or");
}

TEST_F(EmulatedModuleDeathTest, ItsCountersAreRead) {
  const auto body = [] {
    const CudaModule module = load();
    auto* counters =
        reinterpret_cast<cuda_emulation::GetCounters*>(module.symbol("cuda_emulation_counters"));
    NormOnDevice norm(module);
    const Counters before = counters();
    norm.launch();
    const bool quiet = (counters() - before).n_polls() == 0;
    norm.wait();
    const Counters since = counters() - before;
    finish(quiet && since.n_launches == 1 && since.n_polls() == 1 && since.n_synchronizes == 1);
  };
  EXPECT_EXIT(body(), kPasses, "");
}

}  // namespace
}  // namespace lockstep
