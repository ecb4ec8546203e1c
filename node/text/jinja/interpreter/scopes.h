// Scopes: the variables of one render, by name. Scopes lie on a stack. A scope sees its own
// variables and those of its parent: for a block, the scope below it on the stack; for a macro, the
// scope in which the macro was defined. One render, one thread.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "node/text/jinja/values/value.h"

namespace lockstep::jinja {

class Scopes {
 public:
  // A scope that exists as long as this object.
  class Entered {
   public:
    explicit Entered(Scopes& scopes) : Entered(scopes, scopes.innermost()) {}
    // The parent is `home`, or the outermost scope if `home` no longer exists.
    Entered(Scopes& scopes, ScopeRef home);
    ~Entered();
    Entered(const Entered&) = delete;
    Entered& operator=(const Entered&) = delete;

   private:
    Scopes& scopes_;
  };

  Scopes() : stack_(1) {}

  // Sets a variable of the innermost scope. The name must outlive the scope.
  void set(std::string_view name, Value value);
  const Value* find(std::string_view name) const;
  ScopeRef innermost() const { return {stack_.size() - 1, stack_.back().serial}; }
  size_t size() const { return variables_.size(); }

 private:
  struct Scope {
    size_t parent = 0;  // index in stack_; the outermost scope is its own parent
    size_t begin = 0;   // index of its first variable; the next scope's begin is the end
    uint64_t serial = 0;
  };

  size_t end_of(size_t scope) const {
    return scope + 1 < stack_.size() ? stack_[scope + 1].begin : variables_.size();
  }

  std::vector<Scope> stack_;
  std::vector<std::pair<std::string_view, Value>> variables_;
  uint64_t n_entered_ = 0;
};

}  // namespace lockstep::jinja
