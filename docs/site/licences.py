"""Which packages sparse-ir brings along, and under which licences.

    .venv/bin/python docs/site/licences.py > docs/licences.md

Reads what is installed, so it is run where all extras are.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PACKAGE = "sparse-ir"
SPDX = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0 License": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "NVIDIA Proprietary Software": "LicenseRef-NVIDIA-Proprietary",
    "Python Software Foundation License": "PSF-2.0",
}
# Its metadata names none, and it holds nothing but its own requirements.
UNSAID = {"cuda-toolkit": "LicenseRef-NVIDIA-Proprietary"}
HEAD = """# Licences of the dependencies

What `pip install "sparse-ir[...]"` with every extra brings along on Linux and Python 3.11, with the
licence that each package's own metadata states. A test looks at them in every environment that the
tests run in; a licence that Apache-2.0 software may not be shipped beside fails it.

The packages of NVIDIA are not free software. They are what torch from PyPI requires on Linux for
CUDA. `pip install torch --index-url https://download.pytorch.org/whl/cpu` beforehand leaves them
out, as the image for the CPU does.

Written by `python docs/site/licences.py`.

| package | licence | brought by |
| --- | --- | --- |"""


def dependencies() -> dict[str, str]:
    """Every installed package that sparse-ir or an extra needs -> what asks for it first."""
    metadata = distribution(PACKAGE).metadata
    extras = metadata.get_all("Provides-Extra") or []
    found: dict[str, str] = {}
    waiting = [(PACKAGE, "", "sparse-ir")]
    waiting += [(PACKAGE, extra, f"sparse-ir[{extra}]") for extra in sorted(extras)]
    while waiting:
        name, extra, label = waiting.pop(0)
        for text in distribution(name).requires or []:
            wanted = Requirement(text)
            if wanted.marker and not wanted.marker.evaluate({"extra": extra}):
                continue
            key = canonicalize_name(wanted.name)
            if key in found or key == PACKAGE:
                continue
            try:
                distribution(key)
            except PackageNotFoundError:
                continue
            found[key] = label
            waiting += [(key, part, key) for part in ("", *sorted(wanted.extras))]
    return found


def licence(name: str) -> str:
    """What a package's metadata says, as an SPDX expression where it is known."""
    metadata = distribution(name).metadata
    if metadata["License-Expression"]:
        return str(metadata["License-Expression"])
    classifiers = [
        re.sub(r"^License :: (OSI Approved :: )?", "", line)
        for line in metadata.get_all("Classifier") or []
        if line.startswith("License :: ") and line != "License :: OSI Approved"
    ]
    said = classifiers or (metadata["License"] or "").strip().splitlines()[:1]
    if not said or said == ["Other/Proprietary License"]:
        return UNSAID.get(canonicalize_name(name), (metadata["License"] or "unknown").strip())
    return ", ".join(SPDX.get(line, line) for line in said)


def main() -> None:
    """Write the page."""
    rows = [f"| {name} | {licence(name)} | {label} |" for name, label in dependencies().items()]
    sys.stdout.write("\n".join([HEAD, *sorted(rows), ""]))


if __name__ == "__main__":
    main()
