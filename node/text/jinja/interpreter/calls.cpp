// Interpreter, third part: calls of functions, methods, macros and recursive loops.
#include <algorithm>

#include "node/text/jinja/builtins/operators.h"
#include "node/text/jinja/interpreter/interpreter.h"

namespace lockstep::jinja {

Result<CallArgs> Interpreter::eval_arguments(const Arguments& arguments) {
  CallArgs args;
  for (const Expr* argument : arguments.positional) {
    TRY(Value value, eval(*argument));
    args.positional.push_back(std::move(value));
  }
  for (const auto& [name, argument] : arguments.named) {
    TRY(Value value, eval(*argument));
    args.named.emplace_back(name, std::move(value));
  }
  if (arguments.more_positional != nullptr) {
    TRY(const Value more, eval(*arguments.more_positional));
    TRY(const auto list, iterate(runtime_, more));
    TRY([[maybe_unused]] const Ok paid, runtime_.make(list->items.size() * sizeof(Value)));
    args.positional.insert(args.positional.end(), list->items.begin(), list->items.end());
  }
  if (arguments.more_named != nullptr) {
    TRY(const Value more, eval(*arguments.more_named));
    if (!more.is_dict()) return runtime_.fail("** takes a dict");
    for (const auto& [key, value] : more.as_dict().items) {
      if (!key.is_string()) return runtime_.fail("the keys of ** must be strings");
      const bool twice =
          std::any_of(args.named.begin(), args.named.end(),
                      [&key = key](const auto& given) { return given.first == key.as_string(); });
      if (twice) return runtime_.fail("'" + key.as_string() + "' is given twice");
      args.named.emplace_back(key.as_string(), value);
    }
    args.more_named = more;
  }
  return args;
}

// A method belongs to the object before its dot, so the lookup comes before the arguments.
Result<Value> Interpreter::call(const Call& node, const Value* caller) {
  Value callee;
  if (const auto* attribute = std::get_if<Attribute>(&node.callee->node)) {
    TRY(const Value object, eval(*attribute->object));
    if (find_method(object, attribute->name)) {
      TRY(CallArgs args, eval_arguments(node.arguments));
      if (caller != nullptr) args.named.emplace_back("caller", *caller);
      return call_method(runtime_, attribute->name, object, args);
    }
    TRY(callee, get_attribute(runtime_, object, attribute->name));
  } else {
    TRY(callee, eval(*node.callee));
  }
  if (callee.is_undefined()) {
    return runtime_.fail(callee.undefined_name() + " is undefined and cannot be called");
  }
  TRY(CallArgs args, eval_arguments(node.arguments));
  if (caller != nullptr) args.named.emplace_back("caller", *caller);
  return call_value(callee, args);
}

Result<Value> Interpreter::call_value(const Value& callee, const CallArgs& args) {
  if (callee.is(Kind::kLoop)) return call_loop(callee.as_loop(), args);
  if (!callee.is(Kind::kFunction)) {
    return runtime_.fail("a " + std::string(kind_name(callee)) + " cannot be called");
  }
  const Function& function = callee.as_function();
  if (function.macro != nullptr) return call_macro(function, args);
  return call_function(runtime_, function.name, args);
}

Result<Value> Interpreter::call_macro(const Function& function, const CallArgs& args) {
  const Macro& macro = *function.macro;
  const int line = runtime_.line();
  const Scopes::Entered scope(scopes_, function.home);
  TRY([[maybe_unused]] const Ok bound, bind_parameters(macro, args));
  TRY([[maybe_unused]] const Ok rest, bind_the_rest(macro, args));
  TRY(MarkedText text, capture(macro.body));
  runtime_.at_line(line);
  return runtime_.string(std::move(text));
}

Status Interpreter::bind_parameters(const Macro& macro, const CallArgs& args) {
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
  return Ok{};
}

// Binds caller, kwargs and varargs, if the macro uses them, to the arguments that no parameter has
// taken.
Status Interpreter::bind_the_rest(const Macro& macro, const CallArgs& args) {
  const size_t n_parameters = macro.parameters.size();
  const size_t n_positional = std::min(args.positional.size(), n_parameters);
  std::vector<std::pair<Value, Value>> kwargs;
  Value caller = Value::undefined("No caller defined");
  for (const auto& [name, value] : args.named) {
    const auto taken = std::find_if(
        macro.parameters.begin() + static_cast<long>(n_positional), macro.parameters.end(),
        [name = name](const Macro::Parameter& parameter) { return parameter.name == name; });
    if (taken != macro.parameters.end()) continue;
    if (name == "caller" && macro.uses_caller) {
      caller = value;
    } else if (macro.uses_kwargs) {
      kwargs.emplace_back(args.key_of(name), value);
    } else {
      return runtime_.fail("'" + macro.name + "' takes no '" + std::string(name) + "'");
    }
  }
  if (args.positional.size() > n_parameters && !macro.uses_varargs) {
    return runtime_.fail("'" + macro.name + "' takes at most " + std::to_string(n_parameters) +
                         " arguments");
  }
  if (macro.uses_caller) scopes_.set("caller", caller);
  if (macro.uses_kwargs) {
    TRY(Value dict, runtime_.dict(std::move(kwargs)));
    scopes_.set("kwargs", std::move(dict));
  }
  if (macro.uses_varargs) {
    TRY(Value rest, runtime_.list({args.positional.begin() + static_cast<long>(n_positional),
                                   args.positional.end()},
                                  true));
    scopes_.set("varargs", std::move(rest));
  }
  return Ok{};
}

Result<Value> Interpreter::call_loop(const Loop& loop, const CallArgs& args) {
  if (loop.recursive == nullptr) {
    return runtime_.fail("the loop must have the 'recursive' marker to be called");
  }
  TRY(const auto bound, args.bind(runtime_, {"iterable"}, 1));
  const Scopes::Entered scope(scopes_, loop.home);
  MarkedText text;
  MarkedText* const outer = std::exchange(out_, &text);
  auto flow = run_loop(*loop.recursive, bound[0], loop.depth0 + 1);
  out_ = outer;
  if (!flow) return std::move(flow.error());
  return runtime_.string(std::move(text));
}

}  // namespace lockstep::jinja
