"""Runs a command of PyPI's cache-pressure: cache_pressure_tool.py core|needle|agent_sim|abort_sim ARGUMENT…

The package's agent_sim.py needs the f-strings of Python 3.12, though its metadata says 3.9; for an
older Python the three f-strings are rewritten.
"""

import importlib
import importlib.util
import pathlib
import re
import sys


def load_for_this_python(name):
    spec = importlib.util.find_spec(name)
    source = re.sub(r"f'\{summary\['(\w+)'\]:\.0f\}%'", r"'%.0f%%' % summary['\1']",
                    pathlib.Path(spec.origin).read_text())
    sys.modules[name] = importlib.util.module_from_spec(spec)
    exec(compile(source, spec.origin, "exec"), sys.modules[name].__dict__)


if sys.version_info < (3, 12):
    load_for_this_python("cache_pressure.agent_sim")
tool, sys.argv = sys.argv[1], sys.argv[1:]
importlib.import_module("cache_pressure." + tool).main()
