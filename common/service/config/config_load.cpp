// ConfigSource::load: CLI11 reads the command line; then the file is applied, then the flags.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <map>

#include "common/log.h"
#include "common/service/config/config.h"
#include "common/version.h"

namespace lockstep {
namespace {

constexpr const char* kOptions = "Options";  // the heading of options without a subject
constexpr size_t kHelpColumns = 70;          // of the right column; the left one has 30

// The command line's texts by field name; nothing is converted yet.
struct Given {
  std::map<std::string, std::vector<std::string>> values;
  std::map<std::string, bool> switches;
  std::string file;
  bool check = false, print_config = false, version = false;

  bool knows(const std::string& name) const {
    return values.count(name) + switches.count(name) > 0;
  }
};

bool is_switch(const ConfigField& field) { return std::holds_alternative<bool*>(field.target); }

int fail(const std::string& program, const std::string& message) {
  std::fprintf(stderr, "%s: %s\n", program.c_str(), message.c_str());
  return 2;
}

// "Sentence. Default 16.", wrapped for the right column of --help.
std::string help_text(const ConfigField& field) {
  std::string out;
  for (const std::string& line :
       wrapped(str(field.help, " ", field.default_sentence(), field.keys_text()), kHelpColumns)) {
    out += (out.empty() ? "" : "\n") + line;
  }
  return out;
}

void add_option(const ConfigField& field, const std::string& positional, CLI::App& app,
                Given& given) {
  const std::string flag = flag_name(field.name);
  const std::string group = field.group.empty() ? kOptions : field.group;
  if (is_switch(field)) {
    app.add_flag(flag + ",!--no-" + flag.substr(2), given.switches[field.name], help_text(field))
        ->option_text("[=BOOL]")
        ->group(group);
    if (field.opposite.empty()) return;
    app.add_flag(flag_name(field.opposite), given.switches[field.opposite],
                 "The opposite of " + flag + ".")
        ->option_text("[=BOOL]")
        ->group(group);
    return;
  }
  const std::string names = field.name == positional ? field.name + "," + flag : flag;
  app.add_option(names, given.values[field.name], help_text(field))
      ->take_all()
      ->expected(1)
      ->option_text(field.type())
      ->group(group);
}

void add_program_options(CLI::App& app, Given& given) {
  app.add_option("--config", given.file, "YAML file with the same settings; flags override it.")
      ->option_text("PATH")
      ->group(kOptions);
  app.add_flag("--check", given.check, "Check the settings and exit.")->group(kOptions);
  app.add_flag("--print-config", given.print_config, "Print the effective settings and exit.")
      ->group(kOptions);
  app.add_flag("--version", given.version, "Print the version and exit.")->group(kOptions);
  app.set_help_flag("-h,--help", "Print this help and exit.")->group(kOptions);
}

bool is_number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

// The arguments without the flags of settings that are not needed, each of which is logged.
std::vector<const char*> without_unneeded(const FieldList& fields, int argc,
                                          const char* const* argv) {
  std::vector<const char*> kept;
  for (int i = 0; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const std::string_view flag = argument.substr(0, argument.find('='));
    const auto setting =
        std::find_if(fields.unneeded().begin(), fields.unneeded().end(),
                     [&](const UnneededSetting& each) { return flag_name(each.name) == flag; });
    if (setting == fields.unneeded().end()) {
      kept.push_back(argv[i]);
      continue;
    }
    log(LogLevel::kInfo, str(flag, " has no effect: ", setting->why));
    if (flag == argument && i + 1 < argc && is_number(argv[i + 1])) ++i;
  }
  return kept;
}

// Returns an error if a switch and its opposite were given the same value.
Status check_opposite(const ConfigField& field, const CLI::App& app, const Given& given) {
  if (field.opposite.empty()) return Ok{};
  const std::string flag = flag_name(field.name), opposite = flag_name(field.opposite);
  const bool value = given.switches.at(field.name);
  if (app.count(flag) == 0 || app.count(opposite) == 0) return Ok{};
  if (value != given.switches.at(field.opposite)) return Ok{};
  const char* text = value ? "=true" : "=false";
  return Error{ErrorCode::kInvalidRequest,
               str(flag, text, " and ", opposite, text, " contradict each other"), field.name};
}

// "--blok-size=8" -> "blok_size"
std::string field_like(const std::string& argument) {
  std::string name = argument.substr(0, argument.find('='));
  name.erase(0, name.find_first_not_of('-'));
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

Result<std::string> read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in)
    return Error{ErrorCode::kInvalidRequest, "cannot read the settings file '" + path + "'", ""};
  return std::string{std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

std::optional<int> ConfigSource::load(int argc, const char* const* argv) {
  CLI::App app(description_, program_);
  app.allow_extras();  // an unknown argument is reported below, with the nearest name
  Given given;
  for (const ConfigField& field : fields_.fields()) {
    if (!given.knows(field.name)) add_option(field, positional_, app, given);
  }
  add_program_options(app, given);
  const std::vector<const char*> arguments = without_unneeded(fields_, argc, argv);
  try {
    app.parse(static_cast<int>(arguments.size()), arguments.data());
  } catch (const CLI::CallForHelp&) {
    // CLI11 leaves two blank lines between headings.
    std::fputs(CLI::detail::find_and_replace(app.help(), "\n\n\n", "\n\n").c_str(), stdout);
    return 0;
  } catch (const CLI::ParseError& error) {
    return fail(program_, error.what());
  }
  if (given.version) {
    std::printf("%s %s\n", program_.c_str(), kVersion);
    return 0;
  }
  if (const std::vector<std::string> extras = app.remaining(); !extras.empty()) {
    const std::string guess = nearest(field_like(extras.front()));
    return fail(program_, str("unexpected argument '", extras.front(), "'",
                              guess.empty() ? "" : "; did you mean '" + flag_name(guess) + "'?"));
  }
  for (const ConfigField& field : fields_.fields()) {
    const Status agreed = check_opposite(field, app, given);
    if (!agreed) return fail(program_, agreed.error().message);
  }
  check_only_ = given.check;
  if (!given.file.empty()) {
    const Result<std::string> text = read_file(given.file);
    if (!text) return fail(program_, text.error().message);
    const Status applied = apply_yaml(*text, given.file);
    if (!applied) return fail(program_, applied.error().message);
  }
  for (const auto& [name, values] : given.values) {
    if (values.empty()) continue;
    if (name == positional_ && values.size() > 1) {
      return fail(program_, str(name, " is given twice: '", values[0], "' and '", values[1], "'"));
    }
    const Status applied = apply_flag(name, values);
    if (!applied) return fail(program_, applied.error().message);
  }
  for (const auto& [name, value] : given.switches) {
    if (app.get_option(flag_name(name))->count() == 0) continue;
    const Status applied = apply_flag(name, {value ? "true" : "false"});
    if (!applied) return fail(program_, applied.error().message);
  }
  if (given.print_config) {
    std::fputs(to_yaml().c_str(), stdout);
    return 0;
  }
  return std::nullopt;
}

}  // namespace lockstep
