// The numbers among a program's settings, each tried at its extremes: it is accepted, or refused by
// its name. Nothing wraps around, and no senseless value is read as a sensible one.
#pragma once

#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <optional>
#include <string>

#include "common/service/config/config.h"

namespace lockstep::testing {

inline constexpr int64_t kExtremes[] = {std::numeric_limits<int64_t>::min(), -1, 0,
                                        std::numeric_limits<int64_t>::max()};

// Name of a setting -> which of kExtremes it accepts, '+' or '-' for each: "--+-".
using AcceptedExtremes = std::map<std::string, std::string>;

inline bool is_number(const ConfigField& field) {
  return std::holds_alternative<int64_t*>(field.target) ||
         std::holds_alternative<double*>(field.target) ||
         std::holds_alternative<std::optional<int64_t>*>(field.target);
}

// Expects that the table lists the numbers among the settings of `config`, and nothing else.
template <class Config>
void expect_lists_every_number(const AcceptedExtremes& table, Config config) {
  FieldList fields;
  config.visit_fields(fields);
  for (const ConfigField& field : fields.fields())
    EXPECT_EQ(table.contains(field.name), is_number(field)) << field.name;
}

// Expects that the setting `name` of `config` accepts kExtremes as the table says. refusal(config)
// is what is wrong with the settings, "" if nothing is; it begins with `name` and `separator`.
template <class Config, class Refusal>
void expect_extremes(const AcceptedExtremes& table, const std::string& name, const Config& config,
                     const Refusal& refusal, const std::string& separator) {
  for (size_t i = 0; i < std::size(kExtremes); ++i) {
    Config changed = config;
    ConfigSource source("a-program", "a test");
    source.add(changed);
    ASSERT_TRUE(source.apply_flag(name, {std::to_string(kExtremes[i])}));
    const std::string message = refusal(changed);
    if (table.at(name)[i] == '+') {
      EXPECT_EQ(message, "") << name << " " << kExtremes[i];
    } else {
      EXPECT_TRUE(message.starts_with(name + separator))
          << name << " " << kExtremes[i] << ": '" << message << "'";
    }
  }
}

}  // namespace lockstep::testing
