// No allocation once warm: a StreamDecoder that has seen its longest text takes no more memory.
// Counted by replacing this executable's operator new.
#include <gtest/gtest.h>

#include <cstdlib>
#include <new>

#include "node/text/stream_decoder.h"
#include "tests/support/fake_tokenizer.h"

namespace {

thread_local int n_allocations = 0;

void* allocate(std::size_t n_bytes) {
  ++n_allocations;
  void* memory = std::malloc(n_bytes > 0 ? n_bytes : 1);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

// g++ 12 inlines one half of a pair and then misses the other.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"

void* operator new(std::size_t n_bytes) { return allocate(n_bytes); }
void* operator new[](std::size_t n_bytes) { return allocate(n_bytes); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

namespace lockstep {
namespace {

TEST(StreamDecoder, TakesNoMemoryOnceWarm) {
  const testing::FakeTokenizer tokenizer;
  const StopSpec stops{{"a long stop string that never comes", "stopstopx"}, false, true};
  StreamDecoder decoder;
  std::string out;
  int n_before = 0;
  for (int round = 0; round < 3; ++round) {
    if (round == 1) n_before = n_allocations;
    decoder.start(tokenizer, stops);
    out.clear();
    for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) decoder.push(id, out);
    decoder.finish(out);
  }
  EXPECT_EQ(n_allocations, n_before);
}

}  // namespace
}  // namespace lockstep
