"""A server that says what molecules are worth, for the component ``{kind: url, url: http://127.0.0.1:8000/score}``.

    pip install 'lobster-rl[serve]'
    python examples/oracle_server/server.py --port 8000

Put your own model in the place of `worth`: it is loaded once, may be on another machine, and may need another environment.
"""

import argparse

import uvicorn
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel
from rdkit import Chem
from rdkit.Chem import QED

LARGEST_BATCH = 256  # sequences in one request; more are refused with status 413


class Asked(BaseModel):
    """What is asked: ``{"sequences": ["CCO", …]}``."""

    sequences: list[str]


class Answered(BaseModel):
    """What is answered: a value for each sequence, in their order; where there is none, null and why."""

    values: list[float | None]
    errors: list[str | None]


app = FastAPI(title="Oracle")


def worth(sequence: str) -> float:
    """Return what a molecule is worth: here its drug-likeness, in [0, 1].

    Raises:
        ValueError: It cannot be read.
    """
    mol = Chem.MolFromSmiles(sequence)
    if mol is None:
        raise ValueError("RDKit cannot read it")
    return QED.qed(mol)


@app.get("/health")
def health() -> dict[str, str]:
    """Say that the server is up."""
    return {"status": "ok"}


@app.post("/score")
def score(asked: Asked) -> Answered:
    """Return what each sequence is worth; one that fails takes none with it."""
    if len(asked.sequences) > LARGEST_BATCH:
        raise HTTPException(413, f"{len(asked.sequences)} sequences, expected {LARGEST_BATCH} at most: set batch_size")
    answer = Answered(values=[], errors=[])
    for sequence in asked.sequences:
        try:
            answer.values.append(worth(sequence))
            answer.errors.append(None)
        except Exception as error:  # whatever a model raises is told
            answer.values.append(None)
            answer.errors.append(f"{type(error).__name__}: {error}")
    return answer


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 to be reached from other machines")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    uvicorn.run(app, host=arguments.host, port=arguments.port)
