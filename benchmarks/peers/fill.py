"""Fill a contender's queue: ``python -m benchmarks.peers.fill NAME NUMBER [LENGTHS]``, in its own environment.

Without lengths the tasks are empty, and the module's ``fill`` is called; with them ``fill_naps``, where
``inputs.lengths`` says what they are.
"""

from __future__ import annotations

import importlib
import sys

from benchmarks.peers.inputs import lengths

if __name__ == "__main__":
    module, number = importlib.import_module(f"benchmarks.peers.{sys.argv[1]}"), int(sys.argv[2])
    if len(sys.argv) > 3:
        module.fill_naps(lengths(sys.argv[3], number))
    else:
        module.fill(number)
