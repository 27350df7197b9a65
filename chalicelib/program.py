"""The machine program as a zip file that python3 runs: whole, and the part that user data can hold.

Equal sources make equal bytes, whenever and wherever they are made: a launch that is repeated must
repeat its user data to the letter.
"""

from __future__ import annotations

import base64
import io
import zipfile
from importlib.resources import files

PACKAGE = "htcondor_annex"
# What fetches the rest, and nothing that it does not import.
FETCHER = (
    "__init__", "fetch", "files", "metadata", "parameters", "paths", "report", "s3", "shell",
    "signing",
)  # fmt: skip
# The zip format knows no time before 1980; what counts is that it is always the same.
FIXED_TIME = (1980, 1, 1, 0, 0, 0)


def whole() -> str:
    """The whole program in base64: `program` in the configuration object."""
    modules = sorted(sources())
    return base64.b64encode(archive(modules, "__main__", zipfile.ZIP_DEFLATED)).decode()


def fetcher() -> bytes:
    """What the user data holds; not compressed, since user data is compressed as a whole."""
    return archive(FETCHER, "fetch", zipfile.ZIP_STORED)


def sources() -> dict[str, str]:
    """Every module's source by its name."""
    return {
        module.name.removesuffix(".py"): module.read_text(encoding="utf-8")
        for module in (files("chalicelib") / "machine").iterdir()
        if module.name.endswith(".py")
    }


def archive(modules: tuple[str, ...] | list[str], start: str, compression: int) -> bytes:
    """A zip of `modules` that calls the `main` of the module `start`."""
    given = sources()
    contents = {f"{PACKAGE}/{module}.py": given[module] for module in modules}
    contents["__main__.py"] = (
        f"import sys\nfrom {PACKAGE}.{start} import main\nsys.exit(main(sys.argv[1:]))\n"
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression, compresslevel=9) as target:
        for name, source in contents.items():
            entry = zipfile.ZipInfo(name, FIXED_TIME)
            entry.compress_type = compression
            target.writestr(entry, source)
    return out.getvalue()
