#include "node/text/stream/stream_decoder.h"

#include "common/text/utf8.h"

namespace lockstep {

void StreamDecoder::start(const Tokenizer& tokenizer, const StopSpec& stops, const Start& options) {
  tokenizer_ = &tokenizer;
  stops_ = &stops;
  matcher_.start(stops.strings);
  watches_for_stops_ = options.watches_for_stops;
  previous_ = options.previous;
  bytes_.clear();
  held_.clear();
}

// Takes one whole character. Returns the index of the stop string that it completes, or -1.
int StreamDecoder::take(std::string_view character, std::string& out) {
  held_ += character;
  if (!watches_for_stops_) return -1;
  int stop = -1;
  for (const char byte : character) stop = matcher_.feed(byte);
  if (stop >= 0) {
    const size_t n_stop = stops_->strings[static_cast<size_t>(stop)].size();
    const size_t n_cut = stops_->include_in_output ? 0 : n_stop;
    out.append(held_, 0, held_.size() - n_cut);
    held_.clear();
    bytes_.clear();
  }
  return stop;
}

int StreamDecoder::push(int32_t id, std::string& out) {
  bytes_ += tokenizer_->bytes_after(previous_, id, !stops_->skip_special_tokens);
  previous_ = id;
  std::string_view rest = bytes_;
  while (!rest.empty()) {
    const utf8::Step step = utf8::next(rest);
    if (step.state == utf8::State::kIncomplete) break;
    const bool whole = step.state == utf8::State::kChar;
    const int stop = take(whole ? rest.substr(0, step.n_bytes) : utf8::kReplacement, out);
    if (stop >= 0) return stop;
    rest.remove_prefix(step.n_bytes);
  }
  bytes_.erase(0, bytes_.size() - rest.size());
  const size_t n_certain = held_.size() - matcher_.n_pending();
  out.append(held_, 0, n_certain);
  held_.erase(0, n_certain);
  return -1;
}

void StreamDecoder::finish(std::string& out) {
  out += held_;
  if (!bytes_.empty()) out += utf8::kReplacement;
  held_.clear();
  bytes_.clear();
}

}  // namespace lockstep
