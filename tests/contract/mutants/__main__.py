"""Write `contract/MUTANTS.md`, or with `--check` tell whether it is up to date."""

from __future__ import annotations

import argparse
import sys

from .document import DOCUMENT, document


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.contract.mutants", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    if not parser.parse_args().check:
        DOCUMENT.write_text(document(), encoding="utf-8")
        return 0
    if DOCUMENT.is_file() and DOCUMENT.read_text(encoding="utf-8") == document():
        return 0
    print(f"{DOCUMENT} is not what the catalogue says. Run: python -m tests.contract.mutants")
    return 1


if __name__ == "__main__":
    sys.exit(main())
