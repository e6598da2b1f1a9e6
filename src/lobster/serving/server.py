"""The server: what is asked, what is answered, what is refused in one line, and how it ends."""

import asyncio
import math
import signal
import socket
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from lobster.constants import Modality
from lobster.scoring.completions import Outcome, Scored
from lobster.scoring.scorer import Scorer
from lobster.serving.limits import Limits

try:
    import uvicorn
    from fastapi import Body, FastAPI, HTTPException, Request, Response
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
    from pydantic import BaseModel

    from lobster.serving.batching import BusyError, DynamicBatcher
except ImportError as error:
    raise ImportError(f"a server needs {error.name}: pip install 'lobster-rl[serve]'", name=error.name) from error


class ScoreRequest(BaseModel, extra="forbid"):
    """What is asked: ``{"sequences": ["CCO", …], "modality": "SMILES"}``.

    Attributes:
        sequences: What a policy wrote, or the oracle's client asks about.
        modality: What each must be, or one for all; by default what each looks like.
    """

    sequences: list[str]
    modality: Modality | list[Modality | None] | None = None


class ScoreResponse(BaseModel):
    """What is answered, in the order of the sequences; null where there is no number.

    Attributes:
        scores: In [0, 1]; 0 for what was not scored.
        values, errors: The same as an oracle says it (`lobster.workers.programs.Url`): no value for what was not scored, and why.
        outcomes: ``scored``, or why not.
        modalities, normal_forms: What was scored.
        pseudo_likelihoods: In (0, 1]; 0 for what was not scored.
        parts: The score of each component, by name.
    """

    scores: list[float]
    values: list[float | None]
    errors: list[str | None]
    outcomes: list[str]
    modalities: list[Modality | None]
    normal_forms: list[str]
    pseudo_likelihoods: list[float | None]
    parts: list[dict[str, float]]

    @classmethod
    def of(cls, scored: list[Scored]) -> "ScoreResponse":
        """Say what was made of sequences."""
        sound = [item.outcome is Outcome.SCORED for item in scored]
        return cls(
            scores=[item.score for item in scored],
            values=[item.score if ok else None for item, ok in zip(scored, sound, strict=True)],
            errors=[None if ok else item.outcome.value for item, ok in zip(scored, sound, strict=True)],
            outcomes=[item.outcome.value for item in scored],
            modalities=[item.modality for item in scored],
            normal_forms=[item.sequence for item in scored],
            pseudo_likelihoods=[None if math.isnan(p := item.pseudo_likelihood) else p for item in scored],
            parts=[item.parts for item in scored],
        )


class ScoringServer:
    """Scores over HTTP: ``POST /score``, ``GET /health``, ``GET /metrics``.

    Args:
        scorer: What scores.
        modality: What all sequences are, where a request does not say.
        limits: What it takes.

    Attributes:
        app: The application, for any ASGI server with a single process.

    >>> from fastapi.testclient import TestClient
    >>> from lobster.model import load_encoder
    >>> server = ScoringServer(Scorer(load_encoder("ume-nano-base-3M", device="cpu")))
    >>> with TestClient(server.app) as client:
    ...     client.post("/score", json={"sequences": ["CCO", "C1CC"]}).json()["outcomes"]
    ['scored', 'undetectable']
    """

    def __init__(self, scorer: Scorer, modality: Modality | str | None = None, limits: Limits | None = None):
        self._modality = None if modality is None else Modality(modality)
        self._limits = limits or Limits()
        self._registry = CollectorRegistry()
        self._batcher = DynamicBatcher(
            scorer, self._limits.max_sequences, self._limits.max_waiting, registry=self._registry
        )
        self._requests = Counter("lobster_requests", "Requests by their status", ["status"], registry=self._registry)
        self._seconds = Histogram(
            "lobster_request_seconds", "Seconds from a request to its answer", registry=self._registry
        )
        self._sequences = Counter(
            "lobster_sequences", "Sequences by their outcome", ["outcome"], registry=self._registry
        )
        self.app = FastAPI(title="lobster", exception_handlers={RequestValidationError: _in_one_line})
        self.app.middleware("http")(self._watch)
        self.app.post("/score")(self.score)
        self.app.get("/health")(self.health)
        self.app.get("/metrics")(self.metrics)

    def run(self, host: str = "127.0.0.1", port: int = 8000) -> None:
        """Serve until SIGTERM or Ctrl-C: then nothing new is taken, and what was taken is answered.

        Args:
            host: ``0.0.0.0`` to be reached from other machines.
            port: 0 for any that is free.

        Raises:
            OSError: The port is taken, or the host is none of this machine.
            RuntimeError: Not everything was answered in `Limits.drain` seconds.
            KeyboardInterrupt: It was Ctrl-C.
        """
        config = uvicorn.Config(
            self._answering_to_the_end,
            host,
            port,
            access_log=False,
            timeout_graceful_shutdown=self._limits.drain,
            lifespan="off",
            interface="asgi3",
        )
        server = uvicorn.Server(config)
        _check_free(host, port)
        # SIGTERM uvicorn raises again at the end, which would be our death.
        signal.signal(signal.SIGTERM, server.handle_exit)
        server.run()
        if left := self._batcher.unanswered:
            raise RuntimeError(f"{left} sequences were not answered within {self._limits.drain} s (drain)")

    async def _answering_to_the_end(self, scope: Any, receive: Any, send: Any) -> None:
        """Be the application, and answer as a busy server does where uvicorn cancels what it has waited for in vain."""
        begun = False

        async def sending(message: Any) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, receive, sending)
        except asyncio.CancelledError:
            if not begun and scope["type"] == "http":
                stopping = JSONResponse({"detail": "the server is stopping: ask again"}, 503, {"Retry-After": "1"})
                await stopping(scope, receive, send)

    async def score(self, asked: Annotated[ScoreRequest, Body()]) -> ScoreResponse:
        """Score sequences; requests that come at the same time are scored together."""
        limits, count = self._limits, len(asked.sequences)
        if count > limits.max_sequences:
            raise HTTPException(
                413, f"{count} sequences, expected {limits.max_sequences} at most: ask for fewer at a time"
            )
        for place, sequence in enumerate(asked.sequences):
            if len(sequence) > limits.max_letters:
                raise HTTPException(
                    422, f"sequence {place} has {len(sequence)} letters, expected {limits.max_letters} at most"
                )
        modalities = asked.modality if isinstance(asked.modality, list) else [asked.modality] * count
        if len(modalities) != count:
            raise HTTPException(422, f"{count} sequences and {len(modalities)} modalities: expected as many, or one")
        try:
            scored = await self._batcher.score(asked.sequences, [m or self._modality for m in modalities])
        except BusyError as busy:
            raise HTTPException(503, str(busy), {"Retry-After": str(busy.seconds)}) from busy
        except Exception as error:
            raise HTTPException(500, f"{type(error).__name__}: {' '.join(str(error).split())}") from error
        for item in scored:
            self._sequences.labels(item.outcome.value).inc()
        return ScoreResponse.of(scored)

    async def health(self) -> dict[str, str]:
        """Say that the server is up."""
        return {"status": "ok"}

    async def metrics(self) -> Response:
        """Say what was done so far, in Prometheus' text format."""
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)

    async def _watch(self, request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        """Measure a request for scores, and refuse a body that is too large, or no JSON, before it is read."""
        if request.url.path != "/score":
            return await answer(request)
        with self._seconds.time():
            response = self._refusal(request) or await answer(request)
        self._requests.labels(response.status_code).inc()
        return response

    def _refusal(self, request: Request) -> Response | None:
        size, kind = request.headers.get("content-length"), request.headers.get("content-type", "unknown")
        if request.method != "POST":
            return None
        if size is None:
            return JSONResponse({"detail": "the body's length is unknown: send Content-Length"}, 411)
        if int(size) > self._limits.max_bytes:
            return JSONResponse({"detail": f"{size} bytes, expected {self._limits.max_bytes} at most"}, 413)
        if "json" not in kind.lower():
            return JSONResponse({"detail": f"the content type is {kind}: send JSON as application/json"}, 415)
        return None


def _check_free(host: str, port: int) -> None:
    """Check that a port can be listened at: uvicorn would end the process.

    Raises:
        OSError: It cannot.
    """
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        why = str(error.strerror).partition(" (")[0]  # the address follows
        raise OSError(f"{host}:{port} cannot be listened at ({why}): name another host or port") from error


async def _in_one_line(request: Request, error: Any) -> JSONResponse:
    """Say the first thing that is wrong with a body."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if "[" not in str(part))  # without pydantic's own kinds
    return JSONResponse({"detail": f"{place}: {first['msg']}"}, 422)
