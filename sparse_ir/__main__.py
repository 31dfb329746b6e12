"""``python -m sparse_ir`` is ``sparse-ir``."""

from __future__ import annotations

from sparse_ir.cli import run

if __name__ == "__main__":
    run()
