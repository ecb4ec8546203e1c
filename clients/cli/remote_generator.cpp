// The Generator that talks to a running coordinator or node over ZeroMQ.
#include "clients/cli/generator.h"
#include "clients/cpp/resuming_client.h"

namespace lockstep {
namespace {

constexpr std::chrono::milliseconds kAskTimeout{5000};
constexpr std::chrono::milliseconds kGenerateTimeout{3'600'000};

wire::Generate to_wire(const GenerationInput& input, const GenerationOptions& options,
                       const std::string& model) {
  wire::Generate request;
  request.model = model;
  if (input.messages.empty()) {
    request.prompt_text = input.prompt;
  } else {
    request.messages.emplace();
    for (const ChatMessage& message : input.messages) {
      request.messages->push_back({message.role, message.content, message.name});
    }
  }
  request.temperature = options.temperature;
  request.top_p = options.top_p;
  request.top_k = options.top_k;
  if (options.max_tokens > 0) request.max_tokens = options.max_tokens;
  if (options.seed) request.seed = static_cast<uint64_t>(*options.seed);
  request.stop = options.stop;
  return request;
}

class RemoteGenerator final : public Generator {
 public:
  RemoteGenerator(std::unique_ptr<ResumingClient> client, std::string model)
      : client_(std::move(client)), model_(std::move(model)) {}

  Result<GenerationOutcome> generate(
      const GenerationInput& input, const GenerationOptions& options,
      const std::function<void(std::string_view)>& on_text) override {
    GenerationOutcome outcome;
    const auto start = std::chrono::steady_clock::now();
    bool first = true;
    StreamHandlers handlers;
    handlers.on_tokens = [&](const wire::Tokens& tokens) {
      if (!tokens.ids.empty() && std::exchange(first, false)) {
        outcome.to_first_token = std::chrono::steady_clock::now() - start;
      }
      if (!tokens.text.empty()) on_text(tokens.text);
    };
    TRY(const wire::Done done,
        client_->generate(to_wire(input, options, model_), handlers, kGenerateTimeout));
    outcome.total = std::chrono::steady_clock::now() - start;
    outcome.finish_reason = done.reason;
    outcome.prompt_tokens = done.usage.prompt_tokens;
    outcome.completion_tokens = done.usage.completion_tokens;
    return outcome;
  }

  Result<KvOccupancy> kv_occupancy() override {
    TRY(const wire::ClusterStatus status, client_->status(kAskTimeout));
    KvOccupancy sum;
    for (const wire::NodeStatus& node : status.nodes) {
      sum.n_blocks_used += node.load.n_blocks_active;
      sum.n_blocks_total += node.load.n_blocks_total;
    }
    return sum;
  }

 private:
  const std::unique_ptr<ResumingClient> client_;
  const std::string model_;
};

}  // namespace

Result<std::unique_ptr<Generator>> make_remote_generator(const std::vector<std::string>& endpoints,
                                                         const std::string& model) {
  TRY(auto client, ResumingClient::connect(endpoints));
  std::string name = model;
  if (name.empty()) {
    TRY(const wire::Models served, client->models(kAskTimeout));
    if (served.models.size() != 1) {
      return Error{ErrorCode::kModelNotFound,
                   "the cluster serves " + std::to_string(served.models.size()) +
                       " models; name one with --served-model-name",
                   "model"};
    }
    name = served.models.front().id;
  }
  return std::unique_ptr<Generator>(
      std::make_unique<RemoteGenerator>(std::move(client), std::move(name)));
}

}  // namespace lockstep
