#include "node/model/files/gguf/gguf.h"

#include <bit>

namespace lockstep::gguf {
namespace {

constexpr uint64_t kMinValueBytes = 8 + 4 + 1;           // empty key, type, one byte
constexpr uint64_t kMinTensorBytes = 8 + 4 + 8 + 4 + 8;  // empty name, one dimension
constexpr uint64_t kMinAlignment = 8;                    // GGUF spec: a multiple of 8
constexpr uint64_t kMaxAlignment = uint64_t{1} << 21;    // the size of a huge page

uint32_t read_version(Reader& reader) {
  if (reader.string_of(4, "magic") != "GGUF") fail("not a GGUF file: it does not start with GGUF");
  const auto version = reader.number<uint32_t>("version");
  if (version == 2 || version == 3) return version;
  if (version != 0 && (version & 0xffffu) == 0) {
    fail("GGUF version ", version, " at offset 4: big-endian files are not supported");
  }
  fail("GGUF version ", version, " at offset 4 is not supported (2 and 3 are)");
}

uint64_t read_alignment(const Metadata& metadata) {
  constexpr std::string_view kKey = "general.alignment";
  const uint64_t alignment = metadata.find_integer(kKey).value_or(kDefaultAlignment);
  if (!std::has_single_bit(alignment) || alignment < kMinAlignment || alignment > kMaxAlignment) {
    fail(metadata.describe(kKey), " is ", alignment, ", must be a power of two in ", kMinAlignment,
         "..", kMaxAlignment);
  }
  return alignment;
}

}  // namespace

Directory read_directory(std::span<const std::byte> file) {
  Reader reader(file);
  const uint32_t version = read_version(reader);
  const uint64_t n_tensors = reader.count("tensor count", kMinTensorBytes);
  const uint64_t n_values = reader.count("key count", kMinValueBytes);
  Metadata metadata(file, reader, n_values);
  const uint64_t alignment = read_alignment(metadata);
  std::vector<Tensor> tensors = read_tensors(file, reader, n_tensors, alignment);
  return {version, std::move(metadata), std::move(tensors)};
}

}  // namespace lockstep::gguf
