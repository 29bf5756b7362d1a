"""Counts and durations for Prometheus.

Labels hold routes, codes and calls: nothing of a patient, no address, no login.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from cds.case import CaseResult
from cds.errors import StoreError
from imaging.results import FractureCall

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
NO_IMAGE: Final = "no_image"
"""The call of a case without a radiograph."""


class Metrics:
    """The figures of one service; each has a registry of its own."""

    def __init__(self) -> None:
        """Begin at nought."""
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "fracture_cds_requests", "Requests.", ("method", "route", "status"), registry=self._registry
        )
        self._durations = Histogram(
            "fracture_cds_request_seconds", "Time to answer.", ("route",), buckets=_SECONDS, registry=self._registry
        )
        self._assessments = Counter(
            "fracture_cds_assessments", "Cases assessed, by what was seen.", ("call", "where"), registry=self._registry
        )
        self._abstentions = Counter(
            "fracture_cds_abstentions", "Questions that were left open.", ("part",), registry=self._registry
        )
        self._failures = Counter(
            "fracture_cds_failures", "Cases that could not be assessed.", ("code", "where"), registry=self._registry
        )
        self._restarts = Counter(
            "fracture_cds_worker_restarts", "Workers that ended and were replaced.", registry=self._registry
        )
        self._models = Counter(
            "fracture_cds_model_failures",
            "Chosen models that could not be used; the one before answers.",
            ("kind", "where"),
            registry=self._registry,
        )
        self._direct = Gauge(
            "fracture_cds_direct_queue", "Direct assessments that run or wait.", registry=self._registry
        )
        self._jobs = Gauge(
            "fracture_cds_job_queue", "Jobs that run or wait; NaN without an answer.", registry=self._registry
        )
        self._workers = Gauge("fracture_cds_workers", "Worker processes that live.", registry=self._registry)
        self._direct.set_function(lambda: 0)
        self._jobs.set_function(lambda: 0)
        self._workers.set_function(lambda: 0)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self._requests.labels(method, route, str(status)).inc()
        self._durations.labels(route).observe(seconds)

    def assessed(self, outcome: "Outcome", *, where: str) -> None:
        """A case was assessed, in the web process or by a worker."""
        call, parts = outcome
        self._assessments.labels(call, where).inc()
        for part in parts:
            self._abstentions.labels(part).inc()

    def failed(self, code: str, *, where: str) -> None:
        """A case could not be assessed."""
        self._failures.labels(code, where).inc()

    def model_failed(self, kind: str, *, where: str) -> None:
        """A chosen model could not be used, and the one before answers."""
        self._models.labels(kind, where).inc()

    def restarted(self) -> None:
        """A worker was replaced."""
        self._restarts.inc()

    def watch(
        self,
        *,
        direct: Callable[[], int] | None = None,
        jobs: Callable[[], int] | None = None,
        workers: Callable[[], int] | None = None,
    ) -> None:
        """Where to ask for lengths whenever somebody looks."""
        for gauge, ask in ((self._direct, direct), (self._jobs, jobs), (self._workers, workers)):
            if ask is not None:
                gauge.set_function(_answered(ask))

    def watch_drift(self, ask: "AskDrift") -> None:
        """Where to ask for drift whenever somebody looks; nothing is shown where the store does not answer."""
        self._registry.register(_DriftCollector(ask))

    def text(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self._registry)


AskDrift = Callable[[], Mapping[str, tuple[float, bool | None, bool]]]
"""By monitor: base-10 logarithm of the evidence of change; whether there is an alarm, None: not enough cases; and
whether the alarm outlived the cases behind it."""


class _DriftCollector(Collector):
    """Gauges whose figures are made when they are asked for."""

    def __init__(self, ask: AskDrift) -> None:
        self._ask = ask

    def describe(self) -> Iterator[GaugeMetricFamily]:
        yield from self._gauges()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        evidence, alarm, outlived = self._gauges()
        try:
            found = self._ask()
        except StoreError:
            return
        for monitor, (gain, raised, alone) in found.items():
            evidence.add_metric([monitor], gain)
            alarm.add_metric([monitor], float("nan") if raised is None else float(raised))
            outlived.add_metric([monitor], float(alone))
        yield from (evidence, alarm, outlived)

    def _gauges(self) -> tuple[GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily]:
        evidence = GaugeMetricFamily(
            "fracture_cds_drift_evidence", "Largest evidence of change so far, log10.", labels=["monitor"]
        )
        words = "1 where a monitor raises its alarm, 0 where it is quiet, NaN without enough cases."
        alarm = GaugeMetricFamily("fracture_cds_drift_alarm", words, labels=["monitor"])
        words = "1 where an alarm stands though the cases behind it were erased or judged anew, otherwise 0."
        return evidence, alarm, GaugeMetricFamily("fracture_cds_drift_alarm_outlived", words, labels=["monitor"])


Outcome = tuple[str, tuple[str, ...]]
"""What was seen, and which questions were left open."""


def outcome_of(result: CaseResult) -> Outcome:
    """What is counted of a case."""
    findings = result.findings
    open_parts = (
        ("image", findings is not None and findings.call is FractureCall.CANNOT_JUDGE),
        ("risk", result.patient is not None and result.risk is None),
        ("bone_age", result.bone_age_expected and result.bone_age is None),
    )
    call = NO_IMAGE if findings is None else findings.call.value
    return call, tuple(part for part, is_open in open_parts if is_open)


def _answered(ask: Callable[[], int]) -> Callable[[], float]:
    def value() -> float:
        try:
            return ask()
        except StoreError:
            return float("nan")

    return value
