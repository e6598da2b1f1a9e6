"""`lobster serve`: scores over HTTP."""

import argparse
from dataclasses import asdict

from lobster.cli.common import MODALITIES, importing, verb_parser

EXAMPLE = r"""
lobster serve --port 8000 &
curl --retry 30 --retry-connrefused http://127.0.0.1:8000/score --json '{"sequences": ["CC(=O)Oc1ccccc1C(=O)O", "C1CC"]}'
kill %1
"""
_LIMITS = {
    "max_sequences": "sequences in a request; more are refused with 413 (%(default)s)",
    "max_letters": "letters of a sequence; longer ones are refused with 422 (%(default)s)",
    "max_waiting": "sequences that may wait for the encoder; what comes then is refused with 503 (%(default)s)",
    "drain": "seconds to answer what was taken, after SIGTERM (%(default)s)",
}


def parser() -> argparse.ArgumentParser:
    """Return the arguments."""
    from lobster.serving.limits import Limits

    what = (
        "Score over HTTP: POST /score, GET /health, GET /metrics. What is asked at the same time is scored together.\n"
        "SIGTERM refuses what is new, answers what was taken, and ends with status 0."
    )
    made = verb_parser("serve", what, EXAMPLE)
    made.add_argument(
        "--encoder", default="ume-mini-base-12M", help="a name that ships, a folder, a Hub id or a .ckpt (%(default)s)"
    )
    made.add_argument("--modality", choices=MODALITIES, help="what sequences are, where a request does not say")
    made.add_argument("--scoring", help="YAML file of a scoring function, or one component such as pseudo_likelihood")
    made.add_argument("--reference", help="file of real sequences, which say what is natural")
    made.add_argument(
        "--host", default="127.0.0.1", help="0.0.0.0 to be reached from other machines; anybody may ask (%(default)s)"
    )
    made.add_argument("--port", type=int, default=8000, help="0 for any that is free (%(default)s)")
    made.add_argument(
        "--batch_size", type=int, default=8, help="memory, in sequences of the encoder's length (%(default)s)"
    )
    made.add_argument("--device", help="cuda or cpu; CUDA where there is one")
    for name, default in asdict(Limits()).items():
        made.add_argument(f"--{name}", type=int, default=default, help=_LIMITS[name])
    return made


def run(words: list[str]) -> None:
    """Serve."""
    arguments = parser().parse_args(words)
    with importing():
        from lobster.model import load_encoder
        from lobster.scoring import Scorer
        from lobster.serving.limits import Limits
        from lobster.serving.server import ScoringServer

    limits = Limits(**{name: getattr(arguments, name) for name in _LIMITS})
    encoder = load_encoder(arguments.encoder, arguments.modality, arguments.device)
    scorer = Scorer(encoder, arguments.scoring, arguments.reference, batch_size=arguments.batch_size)
    ScoringServer(scorer, arguments.modality, limits).run(arguments.host, arguments.port)
