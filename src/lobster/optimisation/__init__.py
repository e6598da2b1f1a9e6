"""Finding the best molecules that an oracle knows, within a number of calls."""

from lobster.optimisation.result import Result
from lobster.optimisation.search import optimise

__all__ = ["Result", "optimise"]
