// NVIDIA's management library without a driver. LOCKSTEP_EMULATION_NVML names a file, which is read
// at each call and has a line for each device: its address, then its corrected and its uncorrected
// errors, or the word no-ecc. Without the variable there is no driver.
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

namespace {

enum Return { kSuccess = 0, kInvalidArgument = 2, kNotSupported = 3, kNotFound = 6, kNoDriver = 9 };

// What stands behind the address in the line of a device; empty if there is no such line.
std::string device_line(const std::string& pci_bus_id) {
  std::ifstream file(std::getenv("LOCKSTEP_EMULATION_NVML"));
  for (std::string line; std::getline(file, line);) {
    if (line.rfind(pci_bus_id + " ", 0) == 0) return line.substr(pci_bus_id.size() + 1);
  }
  return "";
}

}  // namespace

// A handle is a device's address.
struct nvmlDevice_st {
  std::string pci_bus_id;
};

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT int nvmlInit_v2() {
  return std::getenv("LOCKSTEP_EMULATION_NVML") != nullptr ? kSuccess : kNoDriver;
}

EXPORT const char* nvmlErrorString(int result) {
  switch (result) {
    case kNotSupported:
      return "Not Supported";
    case kNotFound:
      return "Not Found";
    case kNoDriver:
      return "Driver Not Loaded";
  }
  return "Unknown Error";
}

EXPORT int nvmlDeviceGetHandleByPciBusId_v2(const char* pci_bus_id, nvmlDevice_st** device) {
  if (device_line(pci_bus_id).empty()) return kNotFound;
  static thread_local nvmlDevice_st found;
  found.pci_bus_id = pci_bus_id;
  *device = &found;
  return kSuccess;
}

// type: 0 corrected, 1 uncorrected. counter: 0 since the driver was loaded, 1 of the device's life.
EXPORT int nvmlDeviceGetTotalEccErrors(nvmlDevice_st* device, unsigned type, unsigned counter,
                                       unsigned long long* n_errors) {
  if (type > 1 || counter != 0) return kInvalidArgument;
  std::istringstream words(device_line(device->pci_bus_id));
  unsigned long long counts[2] = {};
  if (!(words >> counts[0] >> counts[1])) return kNotSupported;
  *n_errors = counts[type];
  return kSuccess;
}
