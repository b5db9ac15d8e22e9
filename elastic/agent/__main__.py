"""`python -m elastic.agent` is `elastic-run`."""

from __future__ import annotations

import sys

from elastic.agent.cli import main

if __name__ == "__main__":
    sys.exit(main())
