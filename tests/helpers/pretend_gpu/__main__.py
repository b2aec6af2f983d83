"""Run a module or a script on the pretend device: ``python -m helpers.pretend_gpu -m MODULE …``.

With PRETEND_GPU_REPORT=1 the report is printed to stderr at the end.
"""

import os
import runpy
import sys
from pathlib import Path

from helpers import pretend_gpu


def main() -> None:
    """Run what the arguments name."""
    is_module, words = sys.argv[1:2] == ["-m"], sys.argv[1:]
    if len(words) <= is_module or words[0] in ("-h", "--help"):
        raise SystemExit(__doc__)
    gpu, sys.argv = pretend_gpu.install(), words[is_module:]
    sys.path.insert(0, "" if is_module else str(Path(words[0]).parent))
    try:
        if is_module:
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(words[0], run_name="__main__")
    finally:
        if os.environ.get("PRETEND_GPU_REPORT") == "1":
            print(gpu.report(), file=sys.stderr)


if __name__ == "__main__":
    main()
