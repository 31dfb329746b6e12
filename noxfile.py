"""The matrix: ``pipx run nox`` runs all of it, ``nox -s tests-3.12`` a part, ``nox -l`` lists it.

``make test`` is the same for one Python with the versions of ``constraints.txt``. Arguments after
``--`` go to pytest: ``nox -s floors -- tests/engines``.
"""

from __future__ import annotations

import nox

nox.options.default_venv_backend = "uv"
nox.options.sessions = ["tests", "floors", "newest"]

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
# What each library decides about; the oldest that pyproject.toml allows, and the newest there is.
LIBRARIES = {
    "transformers": (
        ("transformers==4.48.*", "transformers"),
        ("tests/models", "tests/encoding", "tests/training"),
    ),
    "elasticsearch": (("elasticsearch==8.19.0", "elasticsearch<9"), ("tests/engines",)),
    "opensearch": (("opensearch-py==2.6.0", "opensearch-py"), ("tests/engines",)),
}
PAIRS = [
    nox.param(name, requirement, id=f"{name}-{age}")
    for name, (requirements, _) in LIBRARIES.items()
    for age, requirement in zip(("oldest", "newest"), requirements, strict=True)
]


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """All tests with the versions of constraints.txt."""
    _install(session, "--constraints", "constraints.txt")
    _test(session)


@nox.session(python="3.10")
def floors(session: nox.Session) -> None:
    """All tests with the oldest version of every dependency."""
    _install(session, "--resolution", "lowest-direct")
    _test(session)


@nox.session(python="3.13")
def newest(session: nox.Session) -> None:
    """All tests with the newest version of every dependency."""
    _install(session, "--upgrade")
    _test(session)


@nox.session(python="3.11")
@nox.parametrize(("library", "requirement"), PAIRS)
def library(session: nox.Session, library: str, requirement: str) -> None:
    """The tests that a library decides about, with its oldest and its newest version."""
    _install(session, requirement)
    _test(session, *LIBRARIES[library][1])


def _install(session: nox.Session, *arguments: str) -> None:
    session.run_install(
        "uv", "pip", "install", "--requirements", "pyproject.toml", "--group", "test", *arguments,
        env={"VIRTUAL_ENV": session.virtualenv.location},
    )  # fmt: skip
    session.run_install(
        "uv", "pip", "install", "--no-deps", ".",
        env={"VIRTUAL_ENV": session.virtualenv.location},
    )  # fmt: skip


def _test(session: nox.Session, *folders: str) -> None:
    root = session.invoked_from
    chosen = session.posargs or [f"{root}/{folder}" for folder in folders or ("tests",)]
    session.chdir(session.create_tmp())  # from where no sparse_ir is found but the installed one
    session.run("pytest", "-c", f"{root}/pyproject.toml", "--rootdir", root, *chosen)
