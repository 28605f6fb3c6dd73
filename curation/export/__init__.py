"""Exports of a curated dataset: WebDataset, Parquet, DataComp uid lists, and takedown from them."""

from .datacomp import uids_of, write_uids
from .keys import original_key, safe_key
from .parquet import ParquetOptions, export_parquet
from .record import ExportFacts, ExportSummary
from .takedown import remove_from_export
from .webdataset import WebDatasetOptions, export_webdataset

__all__ = [
    "ExportFacts",
    "ExportSummary",
    "ParquetOptions",
    "WebDatasetOptions",
    "export_parquet",
    "export_webdataset",
    "original_key",
    "remove_from_export",
    "safe_key",
    "uids_of",
    "write_uids",
]
