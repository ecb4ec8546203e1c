#include "wire/messages.h"

#include "wire/message_types.h"

namespace lockstep::wire {

const char* type_name(const Message& message) { return kTypeNames[message.index()]; }

}  // namespace lockstep::wire
