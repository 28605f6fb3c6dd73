"""Prometheus metrics of one server. Each server has its own registry, so that several can live in one process."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST as CONTENT_TYPE

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """Counters, gauges and histograms. Labels come from fixed sets, never from requests."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "zcurate_requests", "Answered requests for pictures.", ["code"], registry=registry
        )
        self.request_s = Histogram(
            "zcurate_request_seconds", "From request to answer.", buckets=_SECONDS, registry=registry
        )
        self.in_flight = Gauge(
            "zcurate_requests_in_flight", "Requests admitted and not answered.", registry=registry
        )
        self.queue = Gauge("zcurate_queue_length", "Orders waiting for the engine.", registry=registry)
        self.wait_s = Histogram(
            "zcurate_queue_seconds", "From admission to the engine.", buckets=_SECONDS, registry=registry
        )
        self.batch_size = Histogram(
            "zcurate_batch_pictures",
            "Pictures made together.",
            buckets=(1, 2, 4, 8, 16, 32),
            registry=registry,
        )
        self.generate_s = Histogram(
            "zcurate_generate_seconds", "Engine time of one batch.", buckets=_SECONDS, registry=registry
        )
        self.store_bytes = Gauge("zcurate_store_bytes", "Pictures kept for fetching.", registry=registry)
        self.evicted = Counter(
            "zcurate_store_evicted",
            "Pictures dropped for want of room, by whether they had been fetched.",
            ["fetched"],
            registry=registry,
        )

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)


__all__ = ["CONTENT_TYPE", "Metrics"]
