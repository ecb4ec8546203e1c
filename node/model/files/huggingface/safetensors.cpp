#include "node/model/files/huggingface/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "node/model/files/huggingface/json_keys.h"
#include "node/model/files/shared/load_failure.h"
#include "node/model/files/shared/tensors_apart.h"

namespace lockstep::hf {
namespace {

using nlohmann::json;

static_assert(std::endian::native == std::endian::little,
              "safetensors are read as they lie in the file");

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // as the format's own library
constexpr size_t kMaxDims = 8;
constexpr size_t kMaxTensors = size_t{1} << 18;  // of one file; large mixtures have 100,000 in all
// A limit that keeps every product of dimensions and bytes far from overflow.
constexpr uint64_t kMaxValues = uint64_t{1} << 48;
constexpr std::string_view kMetadata = "__metadata__";

// What the header says of one tensor.
struct Entry {
  std::string name, dtype;
  std::vector<uint64_t> shape, data_offsets;
  bool has_dtype = false, has_shape = false, has_offsets = false;
};

std::optional<WeightType> weight_type(std::string_view dtype) {
  if (dtype == "F32") return WeightType::kF32;
  if (dtype == "F16") return WeightType::kF16;
  if (dtype == "BF16") return WeightType::kBF16;
  return std::nullopt;
}

std::string what(const Entry& entry) { return "tensor " + lockstep::quoted(entry.name); }

// Sets everything but the address.
Tensor to_tensor(Entry& entry) {
  if (!entry.has_dtype) fail(what(entry), " has no dtype");
  if (!entry.has_shape) fail(what(entry), " has no shape");
  if (!entry.has_offsets) fail(what(entry), " has no data_offsets");
  Tensor tensor;
  const auto type = weight_type(entry.dtype);
  if (!type) {
    fail(what(entry), " has dtype ", lockstep::quoted(entry.dtype),
         ", which is not supported (F32, F16 and BF16 are)");
  }
  tensor.type = *type;
  uint64_t n_values = 1;
  for (const uint64_t dim : entry.shape) {
    if (dim == 0) fail(what(entry), " has a dimension of 0");
    if (dim > kMaxValues / n_values) {
      fail(what(entry), " has a dimension of ", dim, ", which makes more than 2^48 values");
    }
    n_values *= dim;
  }
  tensor.n_cols = entry.shape.empty() ? 1 : static_cast<int64_t>(entry.shape.back());
  tensor.n_rows = static_cast<int64_t>(n_values) / tensor.n_cols;
  if (entry.data_offsets.size() != 2 || entry.data_offsets[0] > entry.data_offsets[1]) {
    fail(what(entry), ": data_offsets must be two numbers, of which the second is not smaller");
  }
  const uint64_t n_bytes = entry.data_offsets[1] - entry.data_offsets[0];
  if (n_bytes != static_cast<uint64_t>(tensor.bytes())) {
    fail(what(entry), ": data_offsets span ", n_bytes, " bytes, its shape and dtype take ",
         tensor.bytes());
  }
  tensor.file_offset = entry.data_offsets[0];
  tensor.name = std::move(entry.name);
  return tensor;
}

// Collects the tensors while the header is parsed, so that no tree of it is ever in memory.
class HeaderReader final : public nlohmann::json_sax<json> {
 public:
  bool null() override { return scalar("null"); }
  bool boolean(bool) override { return scalar("true or false"); }
  bool number_integer(int64_t) override { return scalar("a negative number"); }
  bool number_unsigned(uint64_t value) override {
    if (list_ == nullptr) return scalar("a number");
    if (list_->size() == kMaxDims) fail(what(entry_), " has more than ", kMaxDims, " dimensions");
    list_->push_back(value);
    return true;
  }
  bool number_float(double, const std::string&) override { return scalar("a fraction"); }
  bool string(std::string& value) override {
    if (in_metadata_ || depth_ != 2 || field_ != Field::kDtype) return scalar("a string");
    entry_.dtype = std::move(value);
    return true;
  }
  bool binary(json::binary_t&) override { return false; }  // JSON text has no binary values

  bool start_object(size_t) override {
    ++depth_;
    if (in_metadata_ && depth_ <= 2) return true;
    if (in_metadata_ || depth_ > 2) misplaced("an object");
    return true;
  }
  bool end_object() override {
    if (depth_ == 2 && !in_metadata_) {
      if (tensors_.size() == kMaxTensors) fail("there are more than ", kMaxTensors, " tensors");
      tensors_.push_back(to_tensor(entry_));
    }
    in_metadata_ = false;
    --depth_;
    return true;
  }
  bool start_array(size_t) override {
    if (in_metadata_ || depth_ != 2 || list_ != nullptr) misplaced("an array");
    list_ = field_ == Field::kShape     ? &entry_.shape
            : field_ == Field::kOffsets ? &entry_.data_offsets
                                        : nullptr;
    if (list_ == nullptr) misplaced("an array");
    return true;
  }
  bool end_array() override {
    list_ = nullptr;
    return true;
  }
  bool key(std::string& name) override {
    if (depth_ == 2) return in_metadata_ || field(name);
    in_metadata_ = name == kMetadata;
    entry_ = Entry{};
    entry_.name = std::move(name);
    if (entry_.name.empty()) fail("tensor ", tensors_.size(), " has no name");
    return true;
  }
  bool parse_error(size_t position, const std::string&, const json::exception&) override {
    fail("the header is not valid JSON at byte ", kLengthBytes + position);
  }

  std::vector<Tensor> take_tensors() { return std::move(tensors_); }

 private:
  enum class Field { kNone, kDtype, kShape, kOffsets };

  bool field(const std::string& name) {
    bool* seen = nullptr;
    if (name == "dtype") field_ = Field::kDtype, seen = &entry_.has_dtype;
    if (name == "shape") field_ = Field::kShape, seen = &entry_.has_shape;
    if (name == "data_offsets") field_ = Field::kOffsets, seen = &entry_.has_offsets;
    if (seen == nullptr) fail(what(entry_), " has the unknown field ", lockstep::quoted(name));
    if (*seen) fail(what(entry_), " has its ", name, " twice");
    *seen = true;
    return true;
  }
  // A value that is only allowed in the metadata, where it has no meaning.
  bool scalar(const char* value) {
    if (!in_metadata_ || depth_ != 2) misplaced(value);
    return true;
  }
  [[noreturn]] void misplaced(const char* value) const {
    if (entry_.name.empty()) fail("the header is not a JSON object of tensors: it has ", value);
    fail(what(entry_), ": ", value, " where the format has none");
  }

  std::vector<Tensor> tensors_;
  Entry entry_;  // being read
  Field field_ = Field::kNone;
  std::vector<uint64_t>* list_ = nullptr;  // the open array
  int depth_ = 0;
  bool in_metadata_ = false;
};

std::vector<Tensor> read_header(std::string_view header) {
  if (header.empty() || header.front() != '{') fail("the header does not begin with {");
  HeaderReader reader;
  json::sax_parse(header.begin(), header.end(), &reader);
  return reader.take_tensors();
}

void place(Tensor& tensor, std::span<const std::byte> file, uint64_t data_start) {
  const uint64_t n_after_start = file.size() - data_start;
  const auto n_bytes = static_cast<uint64_t>(tensor.bytes());
  if (tensor.file_offset > n_after_start || n_bytes > n_after_start - tensor.file_offset) {
    fail("tensor ", lockstep::quoted(tensor.name), ": ", n_bytes, " bytes at offset ", data_start,
         " + ", tensor.file_offset, " end past the end of the file (", file.size(), " bytes)");
  }
  tensor.file_offset += data_start;
  tensor.data = file.data() + tensor.file_offset;
}

}  // namespace

std::vector<Tensor> read_safetensors(std::span<const std::byte> file) {
  if (file.size() < kLengthBytes) {
    fail("not a safetensors file: it has ", file.size(), " bytes, too few for a header");
  }
  uint64_t n_header = 0;
  std::memcpy(&n_header, file.data(), sizeof n_header);
  const uint64_t n_left = file.size() - kLengthBytes;
  if (n_header > std::min(n_left, kMaxHeaderBytes)) {
    fail("not a safetensors file: its header would have ", n_header, " bytes, at most ",
         std::min(n_left, kMaxHeaderBytes), " are possible");
  }
  const std::string_view header(reinterpret_cast<const char*>(file.data()) + kLengthBytes,
                                n_header);
  std::vector<Tensor> tensors = read_header(header);
  for (Tensor& tensor : tensors) place(tensor, file, kLengthBytes + n_header);
  check_apart(tensors);
  return tensors;
}

}  // namespace lockstep::hf
