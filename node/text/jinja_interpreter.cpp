#include "node/text/jinja_interpreter.h"

#include <algorithm>

#include "node/text/jinja_nesting.h"
#include "node/text/jinja_operators.h"

namespace lockstep::jinja {

// ---- scopes

Scopes::Entered::Entered(Scopes& scopes, bool is_macro)
    : scopes_(scopes), outer_begin_(scopes.begin_), outer_visible_(scopes.visible_) {
  const bool from_outermost = scopes.n_global_ == 0 && scopes.begin_ == 0;
  if (from_outermost) scopes.n_global_ = scopes.variables_.size();
  scopes.begin_ = scopes.variables_.size();
  if (is_macro) scopes.visible_ = scopes.begin_;
}

Scopes::Entered::~Entered() {
  scopes_.variables_.resize(scopes_.begin_);
  scopes_.begin_ = outer_begin_;
  scopes_.visible_ = outer_visible_;
  if (outer_begin_ == 0) scopes_.n_global_ = 0;
}

void Scopes::set(std::string_view name, Value value) {
  for (size_t i = begin_; i < variables_.size(); ++i) {
    if (variables_[i].first == name) {
      variables_[i].second = std::move(value);
      return;
    }
  }
  variables_.emplace_back(name, std::move(value));
}

const Value* Scopes::find(std::string_view name) const {
  for (size_t i = variables_.size(); i > visible_; --i) {
    if (variables_[i - 1].first == name) return &variables_[i - 1].second;
  }
  for (size_t i = std::min(visible_, n_global_); i > 0; --i) {
    if (variables_[i - 1].first == name) return &variables_[i - 1].second;
  }
  return nullptr;
}

// ---- statements

Result<std::string> Interpreter::render() {
  std::string out;
  out_ = &out;
  TRY([[maybe_unused]] const Flow flow, run(source_.body));
  return out;
}

Status Interpreter::emit(std::string_view text) {
  TRY([[maybe_unused]] const Ok paid, runtime_.make(text.size()));
  out_->append(text);
  return Ok{};
}

Result<Interpreter::Flow> Interpreter::run(const Block& block) {
  for (const Stmt& stmt : block) {
    TRY(const Flow flow, run(stmt));
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::run(const Stmt& stmt) {
  const Nesting nesting(depth_);
  runtime_.at_line(stmt.line);
  if (depth_ > kMaxRunDepth) return runtime_.fail("the template is nested too deep");
  TRY([[maybe_unused]] const Ok paid, runtime_.work(0));
  return std::visit([this](const auto& node) { return run(node); }, stmt.node);
}

Result<Interpreter::Flow> Interpreter::run(const Text& node) {
  TRY([[maybe_unused]] const Ok emitted, emit(node.text));
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::run(const Output& node) {
  TRY(const Value value, eval(*node.value));
  if (value.is_string()) {
    TRY([[maybe_unused]] const Ok emitted, emit(value.as_string()));
  } else {
    TRY(const std::string text, text_of(runtime_, value));
    TRY([[maybe_unused]] const Ok emitted, emit(text));
  }
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::run(const If& node) {
  for (const If::Branch& branch : node.branches) {
    if (branch.test != nullptr) {
      TRY(const Value holds, eval(*branch.test));
      if (!holds.truthy()) continue;
    }
    return run(branch.body);
  }
  return Flow::kNext;
}

Status Interpreter::assign(const std::vector<std::string>& targets, const Value& value) {
  if (targets.size() == 1) {
    scopes_.set(targets[0], value);
    return Ok{};
  }
  TRY(const auto list, iterate(runtime_, value));
  if (list->items.size() != targets.size()) {
    return runtime_.fail(std::to_string(targets.size()) + " names for " +
                         std::to_string(list->items.size()) + " values");
  }
  for (size_t i = 0; i < targets.size(); ++i) scopes_.set(targets[i], list->items[i]);
  return Ok{};
}

// The items that pass the loop's own filter: `for x in xs if x.ok`.
Result<std::shared_ptr<const List>> Interpreter::loop_items(const For& node) {
  TRY(const Value iterable, eval(*node.iterable));
  TRY(const auto list, iterate(runtime_, iterable));
  if (node.filter == nullptr) return list;
  std::vector<Value> items;
  for (const Value& item : list->items) {
    const Scopes::Entered scope(scopes_, false);
    TRY([[maybe_unused]] const Ok assigned, assign(node.targets, item));
    TRY(const Value keep, eval(*node.filter));
    if (keep.truthy()) items.push_back(item);
  }
  TRY(const Value kept, runtime_.list(std::move(items)));
  return kept.list_ref();
}

Result<Interpreter::Flow> Interpreter::run(const For& node) {
  TRY(const auto list, loop_items(node));
  if (list->items.empty()) {
    const Scopes::Entered scope(scopes_, false);
    return run(node.otherwise);
  }
  const auto loop = std::make_shared<Loop>(Loop{list, 0});
  for (const Value& item : list->items) {
    TRY([[maybe_unused]] const Ok paid, runtime_.work(0));  // an empty body costs too
    const Scopes::Entered scope(scopes_, false);
    scopes_.set("loop", Value::loop(loop));
    TRY([[maybe_unused]] const Ok assigned, assign(node.targets, item));
    TRY(const Flow flow, run(node.body));
    if (flow == Flow::kBreak) break;
    loop->index0 += 1;
  }
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::run(const Assign& node) {
  TRY(const Value value, eval(*node.value));
  if (node.field.empty()) {
    TRY([[maybe_unused]] const Ok assigned, assign(node.targets, value));
    return Flow::kNext;
  }
  const Value* space = scopes_.find(node.targets[0]);
  if (space == nullptr || !space->is(Kind::kNamespace)) {
    return runtime_.fail("'" + node.targets[0] + "' is not a namespace");
  }
  if (value.is(Kind::kNamespace)) return runtime_.fail("a namespace cannot hold a namespace");
  space->as_namespace().fields[node.field] = value;
  return Flow::kNext;
}

Result<std::string> Interpreter::capture(const Block& block) {
  std::string text;
  std::string* const outer = std::exchange(out_, &text);
  const Scopes::Entered scope(scopes_, false);
  auto flow = run(block);
  out_ = outer;
  if (!flow) return std::move(flow.error());
  return text;
}

Result<Interpreter::Flow> Interpreter::run(const Capture& node) {
  TRY(std::string text, capture(node.body));
  TRY(Value value, runtime_.string(std::move(text)));
  for (const Filter& filter : node.filters) {
    TRY(const CallArgs args, eval_arguments(filter.arguments));
    TRY(value, call_filter(runtime_, filter.name, value, args));
  }
  if (!node.target.empty()) {
    scopes_.set(node.target, value);
    return Flow::kNext;
  }
  TRY(const std::string filtered, text_of(runtime_, value));
  TRY([[maybe_unused]] const Ok emitted, emit(filtered));
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::run(const Macro& node) {
  scopes_.set(node.name, Value::function({node.name, &node}));
  return Flow::kNext;
}

Result<Value> Interpreter::call_macro(const Macro& macro, const CallArgs& args) {
  const int line = runtime_.line();
  const Scopes::Entered scope(scopes_, true);
  if (args.positional.size() > macro.parameters.size()) {
    return runtime_.fail("'" + macro.name + "' takes at most " +
                         std::to_string(macro.parameters.size()) + " arguments");
  }
  for (const auto& [name, value] : args.named) {
    const bool known = std::any_of(
        macro.parameters.begin(), macro.parameters.end(),
        [name = name](const Macro::Parameter& parameter) { return parameter.name == name; });
    if (!known) {
      return runtime_.fail("'" + macro.name + "' takes no '" + std::string(name) + "'");
    }
  }
  for (size_t i = 0; i < macro.parameters.size(); ++i) {
    const Macro::Parameter& parameter = macro.parameters[i];
    const auto named =
        std::find_if(args.named.begin(), args.named.end(),
                     [&](const auto& argument) { return argument.first == parameter.name; });
    Value value = Value::undefined(parameter.name);
    if (i < args.positional.size()) {
      value = args.positional[i];
    } else if (named != args.named.end()) {
      value = named->second;
    } else if (parameter.fallback != nullptr) {
      TRY(value, eval(*parameter.fallback));
    }
    scopes_.set(parameter.name, std::move(value));
  }
  TRY(std::string text, capture(macro.body));
  runtime_.at_line(line);
  return runtime_.string(std::move(text));
}

}  // namespace lockstep::jinja
