"""How large the functions' zip is, and what is in it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Package as `chalice deploy` does, and print the sizes by top-level folder."""
    with tempfile.TemporaryDirectory() as out:
        subprocess.run(
            [Path(sys.executable).parent / "chalice", "package", "--stage", "dev", out],
            check=True,
            capture_output=True,
            cwd=ROOT,
            env={"AWS_DEFAULT_REGION": "us-east-1", **os.environ},  # any will do
        )
        path = Path(out, "deployment.zip")
        sizes: Counter[str] = Counter()
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                sizes[entry.filename.split("/")[0]] += entry.compress_size
        print(f"deployment.zip: {path.stat().st_size / 1e6:.2f} MB")
        for name, size in sizes.most_common(8):
            print(f"  {size / 1e3:8.0f} kB  {name}")


if __name__ == "__main__":
    main()
