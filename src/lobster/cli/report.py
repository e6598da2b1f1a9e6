"""`lobster report`: one HTML page that shows a run, or compares several."""

import argparse
import warnings

from lobster.cli.common import importing, verb_parser

EXAMPLE = """
lobster demo --max_steps 5 --samples 64
lobster report runs/demo
"""


def parser() -> argparse.ArgumentParser:
    """Return the arguments."""
    made = verb_parser("report", "Write one HTML page that shows a run, or compares several.", EXAMPLE)
    made.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run; of one in stages, all of them")
    made.add_argument("--output", help="the file; report.html in the first run's folder by default")
    made.add_argument("--encoder", help="colours tokens by how much they surprise it (the runs' own)")
    return made


def run(words: list[str]) -> None:
    """Write the page."""
    given = parser().parse_args(words)
    with importing():
        from lobster.model import load_encoder
        from lobster.report import write_html_report
        from lobster.report.run_record import encoder_of

    name, encoder = given.encoder or encoder_of(given.runs), None
    try:
        encoder = load_encoder(name).freeze() if name else None
    except (OSError, ValueError) as error:
        if given.encoder:
            raise
        warnings.warn(f"tokens are not coloured: the runs' encoder cannot be loaded: {error}", stacklevel=1)
    print(write_html_report(given.runs, given.output, encoder))
