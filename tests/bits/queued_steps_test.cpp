// Steps that a device has only queued when the host goes on: memory apart from the host's, ops that
// run later, two steps in flight. The tokens are those of a CPU, which runs each op at once.
#include <gtest/gtest.h>

#include "tests/bits/cache_matrix.h"
#include "tests/support/lazy_device.h"

namespace lockstep::testing {
namespace {

TEST(QueuedSteps, GiveTheTranscriptWhateverBecomesOfThePrompt) {
  const CacheMatrix matrix(lazy_devices());
  for (const Cell& cell : CacheMatrix::sample(3, 2027)) matrix.expect_the_transcript(cell);
}

TEST(QueuedSteps, GiveTheLogitsOfEveryStep) {
  for (const NamedSpec& model : {nine_heads(), eight_leaves(), biased()}) {
    const FakeModelFile file(model.spec);
    const Ids prompt = random_prompt(40, file.config().shape.vocab_size, 5);
    for (const int n_ranks : {1, 2}) {
      RunnerOptions options{.n_ranks = n_ranks, .chunk = 16};
      ModelRunner at_once(file, options);
      options.devices = lazy_devices();
      ModelRunner queued(file, options);
      expect_same_bits(queued.generate(prompt, 12), at_once.generate(prompt, 12), model.name);
    }
  }
}

}  // namespace
}  // namespace lockstep::testing
