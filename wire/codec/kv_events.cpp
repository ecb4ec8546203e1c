#include "wire/codec/kv_events.h"

#include "common/check.h"

namespace lockstep::wire {
namespace {

constexpr size_t kSequenceBytes = 8;

void write_hashes(MsgpackWriter& out, std::span<const uint64_t> hashes) {
  out.text("block_hashes");
  out.array(hashes.size());
  for (uint64_t hash : hashes) out.integer(hash);
}

// vLLM's field for further inputs of the hash: per block a list, or nil. The salt is in the list of
// the first block of a prefix.
void write_extra_keys(MsgpackWriter& out, const KvBlocksStored& blocks) {
  out.text("extra_keys");
  out.array(blocks.hashes.size());
  for (size_t i = 0; i < blocks.hashes.size(); ++i) {
    if (i > 0) {
      out.nil();
      continue;
    }
    out.array(1);
    out.bytes(blocks.salt);
  }
}

}  // namespace

KvEventWriter::KvEventWriter(std::string& out, double unix_seconds, uint64_t epoch, size_t n_events)
    : out_(out), epoch_(epoch), n_left_(n_events) {
  out_.array(kKvBatchElements);
  out_.real(unix_seconds);
  out_.array(n_events);
}

void KvEventWriter::stored(const KvBlocksStored& blocks) {
  CHECK(n_left_-- > 0);
  const bool has_salt = !blocks.parent && !blocks.salt.empty();
  out_.map(has_salt ? 10 : 9);
  out_.text("type");
  out_.text(kKvStored);
  write_hashes(out_, blocks.hashes);
  out_.text("parent_block_hash");
  blocks.parent ? out_.integer(*blocks.parent) : out_.nil();
  out_.text("token_ids");
  out_.array(blocks.tokens.size());
  for (int32_t token : blocks.tokens) out_.integer(int64_t{token});
  out_.text("block_size");
  out_.integer(blocks.block_size);
  out_.text("lora_id");
  out_.nil();
  out_.text("medium");
  out_.text(kKvMedium);
  out_.text("lora_name");
  out_.nil();
  if (has_salt) write_extra_keys(out_, blocks);
  out_.text("group_idx");
  out_.integer(int64_t{0});
}

void KvEventWriter::removed(std::span<const uint64_t> hashes) {
  CHECK(n_left_-- > 0);
  out_.map(4);
  out_.text("type");
  out_.text(kKvRemoved);
  write_hashes(out_, hashes);
  out_.text("medium");
  out_.text(kKvMedium);
  out_.text("group_idx");
  out_.integer(int64_t{0});
}

void KvEventWriter::cleared() {
  CHECK(n_left_-- > 0);
  out_.map(1);
  out_.text("type");
  out_.text(kKvCleared);
}

void KvEventWriter::finish() {
  CHECK(n_left_ == 0);
  out_.integer(int64_t{0});  // data-parallel rank
  out_.integer(epoch_);
}

std::string encode_kv_sequence(uint64_t seq) {
  std::string out;
  for (int shift = 56; shift >= 0; shift -= 8)
    out.push_back(static_cast<char>(seq >> shift & 0xFF));
  return out;
}

std::optional<uint64_t> decode_kv_sequence(std::string_view frame) {
  if (frame.size() != kSequenceBytes) return std::nullopt;
  uint64_t seq = 0;
  for (char c : frame) seq = seq << 8 | static_cast<unsigned char>(c);
  return seq;
}

std::optional<KvEventMessage> read_kv_frames(std::span<const std::string_view> frames) {
  const bool is_answer = frames.size() == 4 && frames[0].empty();
  if (is_answer) frames = frames.subspan(1);
  if (frames.size() != 3) return std::nullopt;
  const std::optional<uint64_t> seq = decode_kv_sequence(frames[1]);
  if (!seq) return std::nullopt;
  const bool is_end = *seq == kKvEnd;
  if (is_end && !(is_answer && frames[0].empty() && frames[2].empty())) return std::nullopt;
  return KvEventMessage{.topic = frames[0], .seq = *seq, .batch = frames[2], .is_end = is_end};
}

}  // namespace lockstep::wire
