"""How long the client takes to start, against bare Python and against a plain import of boto3."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.timing import paired


def main() -> None:
    """Print the ratios."""
    client = str(Path(sys.executable).parent / "annex-client")
    bare = [sys.executable, "-c", "pass"]
    boto = [sys.executable, "-c", "import boto3"]
    for label, argv in (("--help", [client, "--help"]), ("start --help", [client, "start", "-h"])):
        ours, other, ratio = paired(argv, bare)
        print(f"annex-client {label}: {ours:.3f} s, bare python {other:.3f} s, ratio {ratio:.1f}")
    ours, other, ratio = paired([client, "--help"], boto)
    print(f"annex-client --help against `import boto3`: {other:.3f} s, ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
