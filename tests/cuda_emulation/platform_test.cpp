// The emulated machine that a test asks for, by environment variables too, and its faults.
#include "tests/cuda_emulation/platform.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>

#include "kernels/cuda/device/launch.h"
#include "tests/support/temporary_path.h"

namespace lockstep {
namespace {

using cuda_emulation::KernelFault;
using cuda_emulation::Platform;
using cuda_emulation::platform_of;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

Platform with(const std::map<std::string, std::string>& variables) {
  return platform_of([&](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? "" : found->second;
  });
}

TEST(Platform, TheEnvironmentSetsIt) {
  const Platform usual = with({});
  EXPECT_FALSE(usual.lazy);
  EXPECT_FALSE(usual.guard);
  EXPECT_FALSE(usual.faults_are_errors);
  EXPECT_EQ(usual.n_devices, 8);
  const Platform platform = with({{"LOCKSTEP_EMULATION", "lazy"},
                                  {"LOCKSTEP_EMULATION_GUARD", "on"},
                                  {"LOCKSTEP_EMULATION_DEVICES", "2"},
                                  {"LOCKSTEP_EMULATION_CAPABILITY", "103"},
                                  {"LOCKSTEP_EMULATION_MEMORY_MIB", "64"},
                                  {"LOCKSTEP_EMULATION_FAULT_FILE", "/tmp/fault"},
                                  {"LOCKSTEP_EMULATION_HANG_FILE", "/tmp/hang"}});
  EXPECT_TRUE(platform.lazy);
  EXPECT_TRUE(platform.guard);
  EXPECT_TRUE(platform.faults_are_errors);
  EXPECT_EQ(platform.n_devices, 2);
  EXPECT_EQ(platform.compute_version, 103);
  EXPECT_EQ(platform.device_bytes, size_t{64} << 20);
  EXPECT_EQ(platform.fault_file, "/tmp/fault");
  EXPECT_EQ(platform.hang_file, "/tmp/hang");
  const Platform eager = with({{"LOCKSTEP_EMULATION", "eager"}});
  EXPECT_FALSE(eager.lazy);
  EXPECT_TRUE(eager.faults_are_errors);
}

TEST(Platform, AWrongVariableIsNamed) {
  const auto error_of = [](const char* name, const char* value) {
    try {
      with({{name, value}});
    } catch (const std::invalid_argument& wrong) {
      return std::string(wrong.what());
    }
    return std::string();
  };
  EXPECT_EQ(error_of("LOCKSTEP_EMULATION", "fast"),
            "LOCKSTEP_EMULATION=fast: expected lazy or eager");
  EXPECT_EQ(error_of("LOCKSTEP_EMULATION_GUARD", "1"),
            "LOCKSTEP_EMULATION_GUARD=1: expected on or off");
  EXPECT_EQ(error_of("LOCKSTEP_EMULATION_DEVICES", "9"),
            "LOCKSTEP_EMULATION_DEVICES=9: expected a number up to 8");
  EXPECT_THAT(error_of("LOCKSTEP_EMULATION_MEMORY_MIB", "64M"), HasSubstr("expected a number"));
  EXPECT_THAT(error_of("LOCKSTEP_EMULATION_MEMORY_MIB", "-1"), HasSubstr("expected a number"));
}

struct Params {
  int* to;
};
void store(Params p) { *p.to = 1; }
void stop(Params) { __trap(); }

class FaultyPlatform : public ::testing::Test {
 protected:
  FaultyPlatform() {
    CUDA_CHECK(cudaSetDevice(0));
    CUDA_CHECK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
  }
  ~FaultyPlatform() override {
    cuda_emulation::set_platform({});
    CUDA_CHECK(cudaStreamDestroy(stream_));
  }
  cudaError_t launch(void (*kernel)(Params)) {
    const cudaLaunchConfig_t config{dim3(1), dim3(1), 0, stream_};
    return cudaLaunchKernelEx(&config, kernel, Params{&stored_});
  }
  void touch_file() const { file_.write(""); }

  const testing::TemporaryPath file_;
  cudaStream_t stream_ = nullptr;
  int stored_ = 0;
};

TEST_F(FaultyPlatform, AFaultIsAnErrorOfTheDeviceForEver) {
  cuda_emulation::set_platform({.lazy = true, .faults_are_errors = true});
  void* memory = nullptr;
  CUDA_CHECK(cudaMalloc(&memory, 4));
  EXPECT_EQ(launch(stop), cudaSuccess);
  EXPECT_EQ(launch(store), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaStreamQuery(stream_), cudaErrorLaunchFailure);
  EXPECT_EQ(launch(store), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaFree(memory), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaMalloc(&memory, 4), cudaErrorLaunchFailure);
  EXPECT_EQ(stored_, 0);
  CUDA_CHECK(cudaSetDevice(1));
  CUDA_CHECK(cudaDeviceSynchronize());
  CUDA_CHECK(cudaSetDevice(0));
}

TEST_F(FaultyPlatform, ALaunchThatADeviceRefusesIsAnErrorOfTheLaunch) {
  cuda_emulation::set_platform({.faults_are_errors = true});
  const cudaLaunchConfig_t config{dim3(1), dim3(1025), 0, stream_};
  EXPECT_EQ(cudaLaunchKernelEx(&config, store, Params{&stored_}), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(store), cudaSuccess);
  EXPECT_EQ(stored_, 1);
}

TEST_F(FaultyPlatform, AKernelFaultsOnceTheFileExists) {
  cuda_emulation::set_platform({.fault_file = file_.str()});
  EXPECT_EQ(launch(store), cudaSuccess);
  touch_file();
  EXPECT_THAT([&] { launch(store); }, ThrowsMessage<KernelFault>(HasSubstr("as the test wanted")));
}

TEST_F(FaultyPlatform, ADeviceHangsWhileTheFileExists) {
  cuda_emulation::set_platform({.hang_file = file_.str()});
  touch_file();
  EXPECT_EQ(launch(store), cudaSuccess);
  EXPECT_EQ(cudaStreamQuery(stream_), cudaErrorNotReady);
  EXPECT_EQ(stored_, 0);
  std::filesystem::remove(file_.str());
  EXPECT_EQ(cudaStreamQuery(stream_), cudaSuccess);
  EXPECT_EQ(stored_, 1);
}

TEST_F(FaultyPlatform, AMachineMayHaveNoDevice) {
  cuda_emulation::set_platform({.n_devices = 0});
  int n = -1;
  EXPECT_EQ(cudaGetDeviceCount(&n), cudaErrorNoDevice);
  EXPECT_EQ(n, 0);
  EXPECT_EQ(cudaSetDevice(0), cudaErrorInvalidDevice);
}

}  // namespace
}  // namespace lockstep
