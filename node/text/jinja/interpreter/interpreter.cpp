// Interpreter, first part: statements.
#include "node/text/jinja/interpreter/interpreter.h"

#include "node/text/jinja/builtins/operators.h"
#include "node/text/jinja/values/nesting.h"

namespace lockstep::jinja {

Result<MarkedText> Interpreter::render() {
  MarkedText out;
  out_ = &out;
  TRY([[maybe_unused]] const Flow flow, run(source_.body));
  return out;
}

Status Interpreter::emit(const Value& value) {
  if (!value.is_string()) {
    TRY(const MarkedText text, text_of(runtime_, value));
    TRY([[maybe_unused]] const Ok paid, runtime_.make(text.held_bytes()));
    out_->append(text);
    return Ok{};
  }
  TRY([[maybe_unused]] const Ok paid, runtime_.make(value.as_text().held_bytes()));
  out_->append(value.as_text());
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
  TRY([[maybe_unused]] const Ok paid, runtime_.make(node.text.size()));
  out_->append_own(node.text);
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::run(const Output& node) {
  TRY(const Value value, eval(*node.value));
  TRY([[maybe_unused]] const Ok emitted, emit(value));
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

Status Interpreter::assign(const Target& target, const Value& value) {
  if (!target.is_tuple && target.field.empty()) {
    scopes_.set(target.name, value);
    return Ok{};
  }
  if (!target.is_tuple) {
    const Value* space = scopes_.find(target.name);
    if (space == nullptr || !space->is(Kind::kNamespace)) {
      return runtime_.fail("'" + target.name + "' is not a namespace");
    }
    if (value.is(Kind::kNamespace)) return runtime_.fail("a namespace cannot hold a namespace");
    space->as_namespace().fields[target.field] = value;
    return Ok{};
  }
  TRY(const auto list, iterate(runtime_, value));
  if (list->items.size() != target.parts.size()) {
    return runtime_.fail(std::to_string(target.parts.size()) + " names for " +
                         std::to_string(list->items.size()) + " values");
  }
  for (size_t i = 0; i < target.parts.size(); ++i) {
    TRY([[maybe_unused]] const Ok assigned, assign(target.parts[i], list->items[i]));
  }
  return Ok{};
}

// The items that pass the filter of the loop itself: `for x in xs if x.ok`.
Result<std::shared_ptr<const List>> Interpreter::loop_items(const For& node,
                                                            const Value& iterable) {
  TRY(const auto list, iterate(runtime_, iterable));
  if (node.filter == nullptr) return list;
  std::vector<Value> items;
  for (const Value& item : list->items) {
    const Scopes::Entered scope(scopes_);
    TRY([[maybe_unused]] const Ok assigned, assign(node.target, item));
    TRY(const Value keep, eval(*node.filter));
    if (keep.truthy()) items.push_back(item);
  }
  TRY(const Value kept, runtime_.list(std::move(items)));
  return kept.list_ref();
}

Result<Interpreter::Flow> Interpreter::run(const For& node) {
  TRY(const Value iterable, eval(*node.iterable));
  return run_loop(node, iterable, 0);
}

Result<Interpreter::Flow> Interpreter::run_loop(const For& node, const Value& iterable,
                                                int64_t depth0) {
  TRY(const auto list, loop_items(node, iterable));
  if (list->items.empty()) {
    const Scopes::Entered scope(scopes_);
    return run(node.otherwise);
  }
  const auto loop = std::make_shared<Loop>(Loop{.items = list,
                                                .depth0 = depth0,
                                                .recursive = node.is_recursive ? &node : nullptr,
                                                .home = scopes_.innermost()});
  for (const Value& item : list->items) {
    TRY([[maybe_unused]] const Ok paid, runtime_.work(0));  // an empty body costs a step, too
    const Scopes::Entered scope(scopes_);
    scopes_.set("loop", Value::loop(loop));
    TRY([[maybe_unused]] const Ok assigned, assign(node.target, item));
    TRY(const Flow flow, run(node.body));
    if (flow == Flow::kBreak) break;
    loop->index0 += 1;
  }
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::run(const Assign& node) {
  TRY(const Value value, eval(*node.value));
  TRY([[maybe_unused]] const Ok assigned, assign(node.target, value));
  return Flow::kNext;
}

Result<MarkedText> Interpreter::capture(const Block& block) {
  MarkedText text;
  MarkedText* const outer = std::exchange(out_, &text);
  const Scopes::Entered scope(scopes_);
  auto flow = run(block);
  out_ = outer;
  if (!flow) return std::move(flow.error());
  return text;
}

Result<Interpreter::Flow> Interpreter::run(const Capture& node) {
  TRY(MarkedText text, capture(node.body));
  TRY(Value value, runtime_.string(std::move(text)));
  for (const Filter& filter : node.filters) {
    TRY(const CallArgs args, eval_arguments(filter.arguments));
    TRY(value, call_filter(runtime_, filter.name, value, args));
  }
  if (node.has_target) {
    TRY([[maybe_unused]] const Ok assigned, assign(node.target, value));
  } else {
    TRY([[maybe_unused]] const Ok emitted, emit(value));
  }
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::run(const With& node) {
  std::vector<Value> values;
  for (const auto& [target, expr] : node.values) {
    TRY(Value value, eval(*expr));  // before any name of this statement is set
    values.push_back(std::move(value));
  }
  const Scopes::Entered scope(scopes_);
  for (size_t i = 0; i < values.size(); ++i) {
    TRY([[maybe_unused]] const Ok assigned, assign(node.values[i].first, values[i]));
  }
  return run(node.body);
}

Result<Interpreter::Flow> Interpreter::run(const Macro& node) {
  scopes_.set(node.name, Value::function({node.name, &node, scopes_.innermost()}));
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::run(const CallBlock& node) {
  const Value caller = Value::function({node.caller.name, &node.caller, scopes_.innermost()});
  TRY(const Value text, call(std::get<Call>(node.call->node), &caller));
  TRY([[maybe_unused]] const Ok emitted, emit(text));
  return Flow::kNext;
}

}  // namespace lockstep::jinja
