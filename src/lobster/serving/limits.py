"""What a server takes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What a server takes.

    Attributes:
        max_sequences: In one request; more are refused with status 413.
        max_letters: Of one sequence; longer ones are refused with status 422.
        max_waiting: Sequences that may wait for the encoder; what comes then is refused with status 503 and ``Retry-After``.
        drain: Seconds to answer what was taken, after SIGTERM.

    Raises:
        ValueError: One is not at least 1.

    >>> Limits(max_letters=0)
    Traceback (most recent call last):
    ValueError: max_letters is 0: expected at least 1
    """

    max_sequences: int = 1024
    max_letters: int = 10_000
    max_waiting: int = 8192
    drain: int = 120

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 1:
                raise ValueError(f"{name} is {value}: expected at least 1")

    @property
    def max_bytes(self) -> int:
        """Of a request's body."""
        return self.max_sequences * (self.max_letters + 100)
