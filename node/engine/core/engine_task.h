// EngineTask: a function that another thread has the engine thread run between two turns.
#pragma once

#include <functional>

namespace lockstep {

class EngineCore;

using EngineTask = std::function<void(EngineCore&)>;

}  // namespace lockstep
