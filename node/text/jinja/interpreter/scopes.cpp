#include "node/text/jinja/interpreter/scopes.h"

namespace lockstep::jinja {

Scopes::Entered::Entered(Scopes& scopes, ScopeRef home) : scopes_(scopes) {
  const bool alive =
      home.index < scopes.stack_.size() && scopes.stack_[home.index].serial == home.serial;
  scopes.stack_.push_back({alive ? home.index : 0, scopes.variables_.size(), ++scopes.n_entered_});
}

Scopes::Entered::~Entered() {
  scopes_.variables_.resize(scopes_.stack_.back().begin);
  scopes_.stack_.pop_back();
}

void Scopes::set(std::string_view name, Value value) {
  for (size_t i = stack_.back().begin; i < variables_.size(); ++i) {
    if (variables_[i].first == name) {
      variables_[i].second = std::move(value);
      return;
    }
  }
  variables_.emplace_back(name, std::move(value));
}

const Value* Scopes::find(std::string_view name) const {
  for (size_t scope = stack_.size() - 1;; scope = stack_[scope].parent) {
    for (size_t i = end_of(scope); i > stack_[scope].begin; --i) {
      if (variables_[i - 1].first == name) return &variables_[i - 1].second;
    }
    if (scope == 0) return nullptr;
  }
}

}  // namespace lockstep::jinja
