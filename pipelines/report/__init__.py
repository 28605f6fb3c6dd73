"""The report: one self-contained HTML file about one curated dataset."""

from .data import (
    Balance,
    Borderline,
    CaptionCard,
    ConceptShare,
    DuplicateGroup,
    DuplicateMember,
    ErrorClass,
    FaultScore,
    FunnelStep,
    Histogram,
    ReportData,
    RuleSamples,
    Sample,
    StageTiming,
    Threshold,
    histogram_of,
)
from .render import render_report

__all__ = [
    "Balance",
    "Borderline",
    "CaptionCard",
    "ConceptShare",
    "DuplicateGroup",
    "DuplicateMember",
    "ErrorClass",
    "FaultScore",
    "FunnelStep",
    "Histogram",
    "ReportData",
    "RuleSamples",
    "Sample",
    "StageTiming",
    "Threshold",
    "histogram_of",
    "render_report",
]
