// EngineTask: something that another thread wants done or looked at on the engine thread.
#pragma once

#include <functional>

namespace lockstep {

class EngineCore;

using EngineTask = std::function<void(EngineCore&)>;

}  // namespace lockstep
