// lockstep chat and lockstep complete: chat holds a conversation, complete continues a text. With
// MODEL the model runs in this process; with --connect a running cluster generates the text.
#include <cstdio>
#include <iostream>
#include <limits>
#include <string>

#include "clients/cli/commands.h"
#include "clients/cli/engine_fields.h"
#include "clients/cli/generator.h"
#include "common/load_error.h"
#include "common/log.h"
#include "common/service/config/config.h"
#include "common/service/logging.h"

namespace lockstep {
namespace {

struct TalkConfig {
  std::vector<std::string> connect;
  std::string prompt;
  std::string system;
  GenerationOptions options;
  bool stats = false;
  template <class V>
  void visit_fields(V& v) {
    v.group("Conversation");
    v(connect, "connect", "ENDPOINT",
      "ZeroMQ endpoint of a running coordinator or node. Without it, the model runs in this "
      "process. The flag may be given once per coordinator: if one is lost, the answer goes on at "
      "the next.");
    v(prompt, "prompt", "",
      "Text to answer or to continue before the program ends. Without it, chat reads lines from "
      "standard input.");
    v(system, "system", "", "System message of a chat.");
    v(options.max_tokens, "max_tokens", "tokens",
      "Maximum number of tokens of one answer. 0 allows all that the context still holds.");
    v(options.temperature, "temperature", "",
      "Temperature of sampling; 0 is greedy. Without it, the model's value applies.");
    v(options.top_p, "top_p", "",
      "Probability mass (0 to 1) of the candidates. Without it, the model's value applies.");
    v(options.top_k, "top_k", "tokens",
      "Number of candidates; 0 allows all. Without it, the model's value applies.");
    v(options.seed, "seed", "", "Seed of sampling. Without it, every request gets a random seed.");
    v(options.stop, "stop", "",
      "Text before which the answer ends; the flag may be given more than once.");
    v(stats, "stats", "", "Print tokens per second, time to first token and KV occupancy.");
  }
};

std::unique_ptr<Generator> make_generator(const NodeConfig& node, const TalkConfig& talk) {
  if (talk.connect.empty()) {
    if (node.model.empty()) throw LoadError("name a model file, or give --connect ENDPOINT");
    return make_local_generator(node);
  }
  auto generator = make_remote_generator(talk.connect, node.served_model_name);
  if (!generator) throw LoadError(generator.error().message);
  return std::move(generator).value();
}

void print_stats(const GenerationOutcome& outcome, Generator& generator) {
  const double decode_s = (outcome.total - outcome.to_first_token).count();
  const auto n_decoded = static_cast<double>(outcome.completion_tokens) - 1;
  std::fprintf(stderr, "[%lu prompt + %lu new tokens, %s; first token after %.3f s; %.1f tokens/s",
               static_cast<unsigned long>(outcome.prompt_tokens),
               static_cast<unsigned long>(outcome.completion_tokens), outcome.finish_reason.c_str(),
               outcome.to_first_token.count(), decode_s > 0 ? n_decoded / decode_s : 0.0);
  if (const auto kv = generator.kv_occupancy()) {
    std::fprintf(stderr, "; KV blocks in use %ld of %ld", static_cast<long>(kv->n_blocks_used),
                 static_cast<long>(kv->n_blocks_total));
  }
  std::fputs("]\n", stderr);
}

// Streams one answer to standard output. Returns its text, or nullopt after an error.
std::optional<std::string> answer(const GenerationInput& input, const TalkConfig& talk,
                                  Generator& generator) {
  std::string text;
  const auto outcome = generator.generate(input, talk.options, [&](std::string_view piece) {
    text += piece;
    std::fwrite(piece.data(), 1, piece.size(), stdout);
    std::fflush(stdout);
  });
  std::fputc('\n', stdout);
  std::fflush(stdout);  // before anything is written to standard error
  if (!outcome) {
    std::fprintf(stderr, "lockstep: %s\n", outcome.error().message.c_str());
    return std::nullopt;
  }
  if (talk.stats) print_stats(*outcome, generator);
  return text;
}

void check_count(const char* field, int64_t value, int64_t low) {
  constexpr int64_t kMax = std::numeric_limits<int32_t>::max();
  if (value >= low && value <= kMax) return;
  throw LoadError(str(field, ": ", value, " is outside ", low, " to ", kMax));
}

std::optional<int> load_settings(const char* program, const char* description, int argc,
                                 const char* const* argv, NodeConfig& node, TalkConfig& talk) {
  // One sequence runs at a time, and the KV pool is sized for it.
  node.max_num_seqs = 1;
  node.verbosity = 0;
  ConfigSource source(program, description);
  source.positional("model");
  EngineFields engine_fields{node};
  source.add(engine_fields);
  source.add(talk);
  if (const auto exit_code = source.load(argc, argv)) return exit_code;
  check_count("max_tokens", talk.options.max_tokens, 0);
  check_count("top_k", talk.options.top_k.value_or(0), -1);
  start_logging(static_cast<int>(node.verbosity));
  return std::nullopt;
}

}  // namespace

int run_chat(int argc, const char* const* argv) {
  NodeConfig node;
  TalkConfig talk;
  if (const auto exit_code =
          load_settings("lockstep chat", "Talks to a model.", argc, argv, node, talk)) {
    return *exit_code;
  }
  const auto generator = make_generator(node, talk);
  GenerationInput conversation;
  if (!talk.system.empty()) conversation.messages.push_back({"system", talk.system, ""});
  const bool one_shot = !talk.prompt.empty();
  std::string line = talk.prompt;
  while (one_shot || (std::fputs("> ", stderr), std::getline(std::cin, line))) {
    conversation.messages.push_back({"user", line, ""});
    const auto text = answer(conversation, talk, *generator);
    if (!text && one_shot) return 1;
    if (one_shot) return 0;
    if (text) {
      conversation.messages.push_back({"assistant", *text, ""});
    } else {
      conversation.messages.pop_back();
    }
  }
  return 0;
}

int run_complete(int argc, const char* const* argv) {
  NodeConfig node;
  TalkConfig talk;
  if (const auto exit_code =
          load_settings("lockstep complete", "Continues a prompt.", argc, argv, node, talk)) {
    return *exit_code;
  }
  if (talk.prompt.empty()) throw LoadError("give --prompt TEXT");
  const auto generator = make_generator(node, talk);
  return answer({talk.prompt, {}}, talk, *generator) ? 0 : 1;
}

}  // namespace lockstep
