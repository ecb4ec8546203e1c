// description_json: converts a description to JSON for the admin ports: {"nodes":[{"endpoint",
// "model", "settings":{name: value}, "ranks":[{"rank", "settings"}]}]}. Pure.
#pragma once

#include <string>

#include "wire/messages.h"

namespace lockstep::wire {

std::string description_json(const Description& description);

}  // namespace lockstep::wire
