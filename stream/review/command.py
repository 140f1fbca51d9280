"""`polypstream review`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from engine.checks import require_above
from engine.command_line import Commands, add_token_file, counted, new_parser
from engine.console.output import say
from engine.console.streams import guard_of
from engine.errors import InputError

if TYPE_CHECKING:
    from stream.review.context import ReviewSettings

_EXAMPLES = """examples:
  polypstream review results/                         every procedure of a study, at http://127.0.0.1:8000
  polypstream review exam.jsonl --open                one recording; opens the browser
  polypstream review results/ --recordings /archive   the recordings lie elsewhere by now
  polypstream review results/ --blind                 readers look first, and see what was detected when they are done
  polypstream review results/ --figures figures.csv   what was judged, as a table
  polypstream review results/ --serve 0.0.0.0:8443 --token-file token     for others on the network

What people judge is saved at once in RESULTS/review.sqlite; recordings and results stay as they are.
Ctrl-C ends it; the same command goes on. It takes the packages of `pip install 'polypstream[review]'`.

exit status: 0 ended, 1 a fault midway, 2 wrong usage or unusable input, 130 interrupted
"""
_LOOK_S = 0.2  # between two looks at interrupts


def add_command(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Adds the sub-command to the command line."""
    review = new_parser(
        commands,
        "review",
        common,
        help="look at findings in the browser, correct and judge them",
        description="Serves a page on which people look at what was found, frame by frame, correct it, and judge it. "
        "Research software, not a medical device.",
        epilog=_EXAMPLES,
    )
    review.add_argument(
        "results",
        metavar="RESULTS",
        type=Path,
        help="results of `polypstream study`, a folder with event lines of `polypstream detect`, or one such file",
    )
    review.add_argument(
        "--serve",
        metavar="[HOST:]PORT",
        default="8000",
        help="where (default: 8000, for this machine alone; HOST 0.0.0.0 for all that can reach it)",
    )
    review.add_argument(
        "--recordings",
        metavar="FOLDER",
        type=Path,
        action="append",
        default=[],
        help="folder where moved recordings are now, at any depth, and whose files may be opened in the page; may be "
        "given several times",
    )
    review.add_argument(
        "--blind",
        action="store_true",
        help="withhold what was detected from a reader until that reader is done with the procedure",
    )
    review.add_argument(
        "--reader",
        metavar="NAME",
        action="append",
        default=[],
        help="name of a reader; may be given several times, and then only these may judge (default: any name); with "
        "--figures the one whose judgements count (default: all who are done)",
    )
    review.add_argument(
        "--figures",
        metavar="FILE.csv",
        type=Path,
        help="write what the judgements come to (sensitivity, false positives, with intervals), and serve no page",
    )
    review.add_argument(
        "--cache-size",
        metavar="GB",
        type=float,
        default=20.0,
        help="disk space in RESULTS/.review for copies of recordings that browsers cannot play (default: %(default)g); "
        "the ones that nobody looked at for longest go first",
    )
    review.add_argument(
        "--upload-limit",
        metavar="GB",
        type=float,
        default=20.0,
        help="most that a browser may send at once to be looked at (default: %(default)g)",
    )
    review.add_argument("--open", action="store_true", help="open the page in the browser")
    review.add_argument("--no-token", action="store_true", help="let every user and program of this machine in")
    add_token_file(review)
    review.set_defaults(command=_review)


def _review(arguments: argparse.Namespace) -> int:
    from stream.review.context import ReviewSettings
    from stream.web.address import parse_page_address
    from stream.web.token_file import given_token

    try:
        from stream.review.serving import ReviewPage
    except ModuleNotFoundError as error:
        raise InputError(
            f"the review page needs the package {error.name}: pip install 'polypstream[review]'"
        ) from error
    for folder in arguments.recordings:
        if not folder.is_dir():
            raise InputError(f"--recordings {str(folder)!r} is no folder; name the one that holds the recordings")
    require_above("--cache-size", arguments.cache_size)
    require_above("--upload-limit", arguments.upload_limit)
    settings = ReviewSettings(
        arguments.results,
        tuple(arguments.recordings),
        blind=arguments.blind,
        readers=tuple(arguments.reader),
        cache_bytes=1e9 * arguments.cache_size,
        upload_bytes=1e9 * arguments.upload_limit,
    )
    if arguments.figures is not None:
        return _figures(settings, arguments.figures)
    address = parse_page_address(arguments.serve)
    if arguments.no_token and arguments.token_file is not None:
        raise InputError("--no-token and --token-file say opposite things; leave one out")
    token = None if arguments.no_token else given_token(arguments.token_file, seen=guard_of(sys.stdout).isatty())
    with ReviewPage(settings, address, token=token, without_token=arguments.no_token) as page:
        say(f"page: {page.url if token is None else page.url.partition('?')[0] + ' (it asks for the token)'}")
        if arguments.open:
            _open(page.url)
        while not page.wait(_LOOK_S):
            pass
    return 1


def _figures(settings: ReviewSettings, path: Path) -> int:
    from stream.review.context import ReviewContext
    from stream.review.figures import write_figures

    if len(settings.readers) > 1:
        raise InputError(
            f"figures are of one reader or of all who are done. Received: {counted(len(settings.readers), 'reader')}; "
            "give --reader once, or leave it out"
        )
    with ReviewContext(settings) as context:
        found = write_figures(context, path, reader=next(iter(settings.readers), None))
    counts = found["procedures"]
    say(f"figures of {counted(counts['done'], 'procedure')} that are done, {counts['not_done']} are not; {path}")
    return 0


def _open(url: str) -> None:
    import webbrowser

    if not webbrowser.open(url):
        say("no browser was found; open the address above")
