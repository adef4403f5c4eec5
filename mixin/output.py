"""Writes generated files, or says which are not what would be written."""

import difflib
import sys


def put(folder, files, check):
    """Writes `files` (path below `folder` -> text). With `check`, writes nothing and returns how many differ."""
    stale = 0
    for name, text in files.items():
        path = folder / name
        before = path.read_text() if path.exists() else ""
        if before == text:
            continue
        if check:
            stale += 1
            diff = difflib.unified_diff(before.splitlines(), text.splitlines(), str(path), "generated", lineterm="", n=1)
            print("\n".join(list(diff)[:40]), file=sys.stderr)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            print(f"wrote {path}")
    return stale
