// The device setting: what cuda lacks is named in one line, and auto takes the CPU instead.
#include "node/service/config/device_choice.h"

#include <gtest/gtest.h>

#include "common/load_error.h"
#include "tests/support/paths.h"

namespace lockstep {
namespace {

NodeConfig config_of(const std::string& device) {
  NodeConfig config;
  config.device = device;
  return config;
}

std::string refusal(const NodeConfig& config) {
  try {
    choose_devices(config);
    return "";
  } catch (const LoadError& error) {
    return error.what();
  }
}

const char* const kNoModule = "/nonexistent/liblockstep_cuda.so";

TEST(DeviceChoice, TheCpuNeedsNothing) {
  EXPECT_STREQ(choose_devices(config_of("cpu")).devices->kind(), "cpu");
}

TEST(DeviceChoice, CudaWithoutAModuleIsRefusedAndTheFileIsNamed) {
  NodeConfig config = config_of("cuda");
  config.cuda_module = kNoModule;
  EXPECT_EQ(refusal(config), std::string("device: cuda: no CUDA module at ") + kNoModule);
}

TEST(DeviceChoice, AutoTakesTheCpuWhereCudaLacksSomething) {
  NodeConfig config = config_of("auto");
  config.cuda_module = kNoModule;
  const DeviceChoice choice = choose_devices(config);
  EXPECT_STREQ(choice.devices->kind(), "cpu");
  EXPECT_EQ(choice.why_cpu, std::string("no CUDA module at ") + kNoModule);
}

TEST(DeviceChoice, AnotherDeviceIsRefusedByName) {
  EXPECT_EQ(refusal(config_of("tpu")), "device: 'tpu' is not one of auto, cpu, cuda");
}

TEST(DeviceChoice, FilesForCudaContradictTheCpu) {
  NodeConfig config = config_of("cpu");
  config.cuda_module = "a.so";
  EXPECT_EQ(refusal(config), "cuda_module: a.so needs device: cuda or auto, and device is cpu");
  config.cuda_module = "";
  config.nccl_library = "b.so";
  EXPECT_EQ(refusal(config), "nccl_library: b.so needs device: cuda or auto, and device is cpu");
}

#ifdef LOCKSTEP_EMULATED_CUDA
NodeConfig emulated(int64_t n_ranks) {
  NodeConfig config = config_of("cuda");
  config.cuda_module = LOCKSTEP_EMULATED_CUDA;
  config.nccl_library = LOCKSTEP_EMULATED_NCCL;
  config.tensor_parallel_size = n_ranks;
  return config;
}

TEST(DeviceChoice, AModuleWithDevicesIsTaken) {
  EXPECT_STREQ(choose_devices(emulated(1)).devices->kind(), "cuda");
  EXPECT_STREQ(choose_devices(emulated(8)).devices->kind(), "cuda");
}

TEST(DeviceChoice, FewerGpusThanRanksAreRefusedWithTheNumbers) {
  EXPECT_EQ(refusal(emulated(9)),
            "device: cuda: 9 ranks need as many GPUs, and this process can use 8");
}
#endif

}  // namespace
}  // namespace lockstep
