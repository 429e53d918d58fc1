"""What a monitoring system asks for: counts and times in Prometheus' own text format."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from studio.contract.traffic import ServedRequest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """The figures of one server. Only names that are served become labels, so that nobody can fill the memory."""

    def __init__(
        self, active: Callable[[], int], waiting: Callable[[], int], open_: Callable[[], int] = lambda: 0
    ) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "studio_requests", "Requests by model, route and HTTP status", ("model", "route", "status"),
            registry=self._registry,
        )  # fmt: skip
        self._tokens = Counter("studio_tokens", "Tokens read and written", ("model", "kind"), registry=self._registry)
        self._seconds = Histogram(
            "studio_request_seconds", "From arrival to the last token", ("model",),
            registry=self._registry, buckets=_SECONDS,
        )  # fmt: skip
        self._first = Histogram(
            "studio_first_token_seconds", "From arrival to the first token", ("model",),
            registry=self._registry, buckets=_SECONDS,
        )  # fmt: skip
        self._feedback = Counter("studio_feedback", "Feedback by rating", ("rating",), registry=self._registry)
        self.lost = Counter("studio_traffic_lines_lost", "Lines that could not be written", registry=self._registry)
        gauges = (("studio_active_rows", "Answers that are written or wait", active),
                  ("studio_waiting_rows", "Answers that wait", waiting),
                  ("studio_open_requests", "Requests without their last byte, this one too", open_))  # fmt: skip
        for name, words, ask in gauges:
            Gauge(name, words, registry=self._registry).set_function(ask)

    def request(self, line: ServedRequest, known: bool) -> None:
        """Count a request; `known`: whether its model's name is one that is served."""
        model = line.model if known else ""
        self._requests.labels(model, line.route, str(line.status)).inc()
        if known and line.status == 200:
            self._tokens.labels(model, "prompt").inc(line.prompt_tokens)
            self._tokens.labels(model, "answer").inc(line.answer_tokens)
            self._seconds.labels(model).observe(line.total_ms / 1000)
            if line.first_ms is not None:
                self._first.labels(model).observe(line.first_ms / 1000)

    def refused(self, status: int) -> None:
        """Count a request that was turned away before anything was read."""
        self._requests.labels("", "", str(status)).inc()

    def feedback(self, rating: int) -> None:
        """Count a feedback."""
        self._feedback.labels(str(rating)).inc()

    def page(self) -> bytes:
        """Everything, as text."""
        return generate_latest(self._registry)
