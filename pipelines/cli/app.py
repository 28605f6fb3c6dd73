"""The `zcurate` command: wiring and the treatment of errors."""

from __future__ import annotations

import sys

import typer

from zcurate.curation.errors import ConfigError, SourceError, UnsafeUriError, ZcurateError

from . import (
    auditing,
    builds,
    caption_reports,
    diagnosing,
    edits,
    features,
    generating,
    graphs,
    heads,
    looking,
    pairs,
    prompting,
    rendering_text,
    repairing,
    reviewing,
    sampling,
    searching,
    serving,
    training,
    upkeep,
)

app = typer.Typer(
    name="zcurate",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Build image datasets: profile, deduplicate, balance, caption, export. Try `zcurate demo`.",
)
for module in (
    auditing,
    builds,
    caption_reports,
    diagnosing,
    edits,
    features,
    generating,
    graphs,
    heads,
    looking,
    pairs,
    prompting,
    rendering_text,
    repairing,
    reviewing,
    sampling,
    searching,
    serving,
    training,
    upkeep,
):
    module.register(app)


def main() -> None:
    """Entry point. A user's mistake ends with one message and exit code 1 or 2, never a traceback."""
    try:
        app()
    except (ConfigError, SourceError, UnsafeUriError) as e:
        print(f"zcurate: {e}", file=sys.stderr)
        sys.exit(2)
    except ZcurateError as e:
        print(f"zcurate: {e}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as e:
        where = f"{e.filename}: " if e.filename else ""
        print(f"zcurate: {where}{e.strerror or e}", file=sys.stderr)
        sys.exit(1)
    except Exception as e:
        # Object stores raise their clients' own errors, e.g. for missing credentials.
        if type(e).__module__.split(".")[0] not in (
            "botocore",
            "aiobotocore",
            "aiohttp",
            "gcsfs",
            "adlfs",
            "google",
        ):
            raise
        print(f"zcurate: {type(e).__name__}: {e}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("zcurate: stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
