// TextModels: the text models (tokenizer and chat template) of the nodes that are present, one for
// each text fingerprint. It asks one of the nodes for a model that is missing, checks that what
// came has the fingerprint, and has it built by a TextWorker, because that takes long. A model that
// no node has is dropped. Sends only through Send. I/O thread only; the models: any thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/clock.h"
#include "common/ids.h"
#include "coordinator/cluster/node_table.h"
#include "node/text/prompt/text_model.h"
#include "node/text/prompt/text_worker.h"
#include "wire/messages.h"

namespace lockstep {

class TextModels {
 public:
  // Returns false if the node's link cannot take a message now.
  using Send = std::function<bool(NodeId, const wire::Message&)>;

  // All references must outlive this object. The worker must be stopped before it.
  TextModels(const NodeTable& nodes, Send send, TextWorker& worker, const Clock& clock);

  // Asks for what is missing, and drops what no node has. To be called several times per second.
  void tick();
  // True if the message answers a question of this object, which then has processed it.
  bool on_message(NodeId node, const wire::Message& message);

  // Returns nullptr if the fingerprint is empty or its model is not there.
  std::shared_ptr<const TextModel> find(const std::string& text_fingerprint) const;

 private:
  using NodeLife = std::pair<NodeId, uint64_t>;  // node, epoch
  struct Entry {
    std::shared_ptr<const TextModel> model;
    bool unusable = false;          // the data is right, but this version cannot build the model
    std::string question;           // the request_id of the open question, empty = none
    std::optional<NodeLife> asked;  // who has it; none once the answer is being built
    Clock::TimePoint deadline;      // of the open question; without one, when to ask again
    std::set<NodeLife> refused;     // gave an answer of no use
  };
  using Entries = std::map<std::string, Entry>;  // by text fingerprint

  void ask(const std::string& fingerprint, Entry& entry);
  bool is_lost(const NodeLife& asked) const;
  void on_description(const std::string& fingerprint, Entry& entry, const std::string& data);
  void on_useless_answer(Entry& entry, const std::string& problem);
  void build(Entry& entry, std::string data);
  Entries::iterator find_question(const std::string& question);

  // constant after construction
  const NodeTable& nodes_;
  const Send send_;
  TextWorker& worker_;
  const Clock& clock_;
  const std::shared_ptr<PieceCache> pieces_;
  // I/O thread
  Entries entries_;
  uint64_t n_asked_ = 0;
};

}  // namespace lockstep
