"""The command line: one file per command, exit codes that mean something.

Exit codes: 0 done, 1 other failure, 2 wrong setting or flag, 3 unusable input file, 4 unusable
model, 5 engine or index, 6 disk, 7 some documents were refused, 8 a quality gate failed, 9 training
went wrong, 10 encoding was broken off, 130 interrupted, 143 terminated.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from sparse_ir import __version__
from sparse_ir.cli.lazy import LazyGroup
from sparse_ir.cli.stopping import Terminated
from sparse_ir.errors import SparseIRError, StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence

_COMMANDS = (
    "demo",
    "index",
    "search",
    "explain",
    "serve",
    "evaluate",
    "verify",
    "benchmark",
    "tune",
    "tune-hybrid",
    "compare",
    "swap",
    "rollback",
    "delete",
    "plan",
    "encode",
    "idf",
    "restamp",
    "export",
    "push",
    "inspect",
    "pretrain",
    "train",
    "adapt",
    "pseudo-queries",
    "mine",
    "distill",
    "run",
    "doctor",
)


@click.command(
    cls=LazyGroup,
    package="sparse_ir.cli",
    names=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Settings for all commands can be kept in a sparse-ir.yaml in this folder or above.",
)
@click.version_option(__version__, prog_name="sparse-ir")
@click.option("--config", type=click.Path(path_type=Path), help="Defaults from this YAML file.")
@click.pass_context
def main(ctx: click.Context, config: Path | None) -> None:
    """Learned sparse retrieval: index a corpus, search it, see why, measure it."""
    _load_defaults(ctx, config)


def _load_defaults(ctx: click.Context, config: Path | None) -> None:
    # Looked up before yaml is imported: most calls have no such file.
    from sparse_ir.resources import find_upward

    path = config or find_upward("sparse-ir.yaml", Path.cwd())
    if path is not None:
        from sparse_ir.cli.defaults import default_map

        ctx.default_map = default_map(path, ctx)


def run(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command line and leave the process with its exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(execute(arguments))


def execute(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code; what went wrong is one line on stderr."""
    try:
        result: Any = main.main(args=arguments, prog_name="sparse-ir", standalone_mode=False)
    except click.exceptions.Abort as abort:  # what click makes of Ctrl-C
        return _say(f"Interrupted. {abort.__cause__ or ''}".strip(), 130)
    except Terminated as stop:
        return _say(f"Terminated. {stop}".strip(), 143)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except SparseIRError as error:
        return _say(f"Error: {error}", error.exit_code)
    except BrokenPipeError:
        # The reader (head, less) has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _system_error(error)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "sparse_ir":
            raise
        return _say(
            f"Error: the Python package {error.name!r} is not installed, and this needs it. "
            "Install sparse-ir whole: pip install . in a checkout of it",
            1,
        )
    return result if isinstance(result, int) else 0


def _system_error(error: OSError) -> int:
    where = error.filename or "the disk"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _say(
            f"Error: {where}: no space left. Make room and run the command again.",
            StorageError.exit_code,
        )
    if error.errno in (errno.EACCES, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR):
        return _say(f"Error: {where}: {error.strerror}.", StorageError.exit_code)
    raise error


def _say(line: str, exit_code: int) -> int:
    from sparse_ir.cli.output import note

    note(line)
    return exit_code


def _terminate(signum: int, frame: object) -> None:
    del signum, frame
    raise Terminated
