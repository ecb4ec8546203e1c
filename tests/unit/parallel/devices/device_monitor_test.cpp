// The state of devices as operators see it: by rank, in one line of the log where it is unknown,
// and not at all on CPUs.
#include "parallel/devices/device_monitor.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "common/log.h"
#include "tests/support/temporary_path.h"

namespace lockstep {
namespace {

// Devices that exist by address only. Rank r has address 0000:0(r+1):00.0 and 1000 - r free bytes.
class NamedDevice final : public Device {
 public:
  explicit NamedDevice(int rank) : rank_(rank), name_("gpu " + std::to_string(rank)) {}
  const std::string& name() const override { return name_; }
  bool is_host() const override { return false; }
  PackedLayout weight_layout() const override { return PackedLayout::kRows; }
  std::string pci_bus_id() const override { return "0000:0" + std::to_string(rank_ + 1) + ":00.0"; }
  int64_t free_bytes() const override { return 1000 - rank_; }

  std::byte* allocate(int64_t, MemoryTag) override { return nullptr; }
  void release(std::byte*, int64_t) override {}
  std::byte* allocate_host(int64_t) override { return nullptr; }
  void release_host(std::byte*, int64_t) override {}
  void upload(void*, const void*, int64_t) override {}
  void download(void*, const void*, int64_t) override {}
  std::unique_ptr<Stream> make_stream(const StreamLimits&, MemoryLedger&) override {
    return nullptr;
  }

 private:
  const int rank_;
  const std::string name_;
};

class NamedDevices final : public DeviceProvider {
 public:
  const char* kind() const override { return "named"; }
  bool is_host() const override { return false; }
  std::unique_ptr<Device> open(int rank, const CpuStreamOptions&) const override {
    return std::make_unique<NamedDevice>(rank);
  }
  int64_t free_device_bytes(int) const override { return 0; }
  Result<Group> make_group(int, const StallTimeout&, int) const override { return Group(); }
};

class DeviceMonitorTest : public ::testing::Test {
 protected:
  DeviceMonitorTest() {
    set_log_sink([this](LogLevel, std::string_view line) { lines_.emplace_back(line); });
    setenv("LOCKSTEP_EMULATION_NVML", file_.c_str(), 1);
  }
  ~DeviceMonitorTest() override {
    set_log_sink(nullptr);
    unsetenv("LOCKSTEP_EMULATION_NVML");
  }
  void write(const std::string& lines) const { file_.write(lines); }

  const testing::TemporaryPath file_;
  std::vector<std::string> lines_;  // of the log
  const NamedDevices devices_;
};

TEST_F(DeviceMonitorTest, EachRankHasTheStateOfItsDevice) {
  write("0000:02:00.0 4 1\n0000:01:00.0 0 0\n");
  const DeviceMonitor monitor(devices_, 2, LOCKSTEP_EMULATED_NVML);
  const std::vector<DeviceState> states = monitor.states();
  ASSERT_EQ(states.size(), 2u);
  EXPECT_EQ(states[0].free_bytes, 1000);
  EXPECT_EQ(states[1].free_bytes, 999);
  EXPECT_EQ(states[0].errors->uncorrected, 0u);
  EXPECT_EQ(states[1].errors->corrected, 4u);
  EXPECT_EQ(states[1].errors->uncorrected, 1u);
  EXPECT_EQ(lines_, std::vector<std::string>());
}

TEST_F(DeviceMonitorTest, WithoutNvmlOneLineSaysSoAndTheFreeBytesRemain) {
  const DeviceMonitor monitor(devices_, 2, "libabsent.so.1");
  ASSERT_EQ(lines_.size(), 1u);
  EXPECT_EQ(lines_[0].rfind("errors of device memory are not counted: ", 0), 0u) << lines_[0];
  EXPECT_NE(lines_[0].find("libabsent.so.1"), std::string::npos) << lines_[0];
  ASSERT_EQ(monitor.states().size(), 2u);
  EXPECT_EQ(monitor.states()[1].free_bytes, 999);
  EXPECT_FALSE(monitor.states()[1].errors);
  EXPECT_EQ(lines_.size(), 1u);
}

TEST_F(DeviceMonitorTest, ADeviceWithoutEccIsNamedAndTheOthersAreCounted) {
  write("0000:01:00.0 no-ecc\n0000:02:00.0 4 1\n");
  const DeviceMonitor monitor(devices_, 3, LOCKSTEP_EMULATED_NVML);
  const std::vector<std::string> expected{
      "errors of device memory are not counted: gpu 0: Not Supported; gpu 2: Not Found"};
  EXPECT_EQ(lines_, expected);
  EXPECT_FALSE(monitor.states()[0].errors);
  EXPECT_EQ(monitor.states()[1].errors->corrected, 4u);
  EXPECT_FALSE(monitor.states()[2].errors);
}

TEST_F(DeviceMonitorTest, CpusHaveNoStateAndNoLine) {
  const DeviceMonitor monitor(*cpu_devices(), 2, "libabsent.so.1");
  EXPECT_TRUE(monitor.states().empty());
  EXPECT_EQ(lines_, std::vector<std::string>());
}

#ifdef LOCKSTEP_EMULATED_CUDA
TEST_F(DeviceMonitorTest, CudaDevicesGiveTheirAddressAndTheirFreeBytes) {
  write("0000:01:00.0 8 0\n0000:02:00.0 9 0\n");
  const auto cuda =
      cuda_devices({.module = LOCKSTEP_EMULATED_CUDA, .nccl_library = LOCKSTEP_EMULATED_NCCL}, 2);
  ASSERT_TRUE(cuda) << cuda.error().message;
  const DeviceMonitor monitor(**cuda, 2, LOCKSTEP_EMULATED_NVML);
  const std::vector<DeviceState> before = monitor.states();
  EXPECT_EQ(before[0].errors->corrected, 8u);
  EXPECT_EQ(before[1].errors->corrected, 9u);

  MemoryLedger ledger;
  const std::unique_ptr<Device> device = (*cuda)->open(1, {});
  const DeviceBuffer taken(*device, ledger, MemoryTag::kKv, 1 << 20);
  EXPECT_EQ(monitor.states()[0].free_bytes, before[0].free_bytes);
  EXPECT_EQ(monitor.states()[1].free_bytes, before[1].free_bytes - (1 << 20));
}
#endif

}  // namespace
}  // namespace lockstep
