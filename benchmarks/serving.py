"""Throughput of `lobster serve` under many clients, beside the `Scorer` that it puts behind HTTP, in one run: JSON.

    python benchmarks/serving.py --encoder ume-nano-base-3M --clients 16

Every client asks for so many molecules at a time, one request after the other, as a training does. Each figure is of molecules
that its scorer has not seen.
"""

import argparse
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, product

from lobster.model import load_encoder
from lobster.scoring import Scorer
from lobster.serving import RemoteReward

CHAINS = ["C" * n for n in range(1, 9)]
RINGS = ["c1ccccc1", "c1ccncc1", "C1CCNCC1", "C1CCOCC1", "c1ccsc1", "c1cnc2ccccc2c1", "C1CC1", "c1ncc[nH]1"]
LINKS = ["C(=O)N", "O", "N", "S(=O)(=O)N", "C(=O)O", "NC(=O)N", "C=C", "C#C"]


def molecules(count: int) -> list[str]:
    """Return different molecules: chain, link, ring, link, chain."""
    return ["".join(parts) for parts in islice(product(LINKS, CHAINS, LINKS, RINGS, CHAINS), count)]


def seconds(call) -> float:
    """Return how long a call takes."""
    begun = time.monotonic()
    call()
    return time.monotonic() - begun


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="ume-nano-base-3M")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--request", type=int, default=16, help="molecules in a request")
    parser.add_argument("--requests", type=int, default=8, help="of each client")
    parser.add_argument("--port", type=int, default=8437)
    arguments = parser.parse_args()
    share = arguments.request * arguments.requests
    asked = molecules(arguments.clients * share)
    calls = [asked[start : start + arguments.request] for start in range(0, len(asked), arguments.request)]
    encoder = load_encoder(arguments.encoder)
    one_by_one, at_once = Scorer(encoder), Scorer(encoder)
    one_by_one.score(["CCO"])
    found = {
        "scorer, a request at a time": seconds(lambda: [one_by_one.score(call) for call in calls]),
        "scorer, all at once": seconds(lambda: at_once.score(asked)),
    }
    words = ["serve", "--encoder", arguments.encoder, "--port", str(arguments.port)]
    server = subprocess.Popen([sys.executable, "-m", "lobster", *words], stderr=subprocess.DEVNULL)
    try:
        reward = RemoteReward(f"http://127.0.0.1:{arguments.port}/score", retries=60)
        reward(completions=["CCO"])  # once it is there

        def ask(client: int) -> None:
            for call in calls[client * arguments.requests : (client + 1) * arguments.requests]:
                reward(completions=call)

        with ThreadPoolExecutor(arguments.clients) as pool:
            found[f"server, {arguments.clients} clients"] = seconds(
                lambda: list(pool.map(ask, range(arguments.clients)))
            )
    finally:
        server.terminate()
    rates = {name: round(len(asked) / took, 1) for name, took in found.items()}
    print(json.dumps(vars(arguments) | {"sequences": len(asked), "sequences_per_second": rates}, indent=1))


if __name__ == "__main__":
    main()
