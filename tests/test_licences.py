"""What sparse-ir brings along may be shipped beside Apache-2.0 software."""

import importlib.util
import re
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
FREE = {
    "0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0",
    "CNRI-Python", "HPND", "ISC", "LLVM-exception", "MIT", "MIT-0", "MIT-CMU", "MPL-2.0", "PSF-2.0",
    "Python-2.0", "Unlicense", "Zlib",
}  # fmt: skip


def _licences():
    spec = importlib.util.spec_from_file_location("licences", ROOT / "docs/site/licences.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_dependency_is_under_a_licence_that_may_be_shipped_beside_apache_2():
    licences = _licences()
    found = licences.dependencies()
    assert len(found) > 50
    for name in found:
        if name.startswith(("nvidia-", "cuda-")):  # torch's own, which the page tells of
            continue
        said = set(re.split(r" AND | OR | WITH |, |[()]", licences.licence(name))) - {""}
        assert said <= FREE, f"{name}: {said - FREE}"


def test_the_page_tells_the_licence_of_every_direct_dependency():
    page = (ROOT / "docs/licences.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| ([a-z0-9-]+) \| ([^|]+) \|", page, re.MULTILINE))
    metadata = _licences().distribution("sparse-ir")
    for text in metadata.requires:
        assert canonicalize_name(Requirement(text).name) in told, text
