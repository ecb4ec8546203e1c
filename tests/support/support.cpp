// Anchors the support library, which is otherwise headers only.
#include "tests/support/fake_clock.h"
