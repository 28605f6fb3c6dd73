"""What `read_metadata` returns: columns, units, meanings."""

from __future__ import annotations

import pyarrow as pa

from ...stage import field_of

METADATA_SCHEMA = pa.schema(
    [
        field_of("camera_make", pa.string(), "maker of the camera, Exif"),
        field_of("camera_model", pa.string(), "model of the camera, Exif"),
        field_of(
            "taken_at", pa.string(), "when the original was made, ISO 8601; UTC offset only where recorded"
        ),
        field_of("software", pa.string(), "program that wrote the file, by its own account"),
        field_of("gps_latitude", pa.float64(), "latitude, north positive", "degrees"),
        field_of("gps_longitude", pa.float64(), "longitude, east positive", "degrees"),
        field_of("title", pa.string(), "title embedded in the file"),
        field_of("caption", pa.string(), "description embedded in the file"),
        field_of("keywords", pa.list_(pa.string()), "keywords embedded in the file; empty if none"),
        field_of("place", pa.string(), "sublocation, city, state, country as embedded, from small to large"),
        field_of("creator", pa.string(), "authors embedded in the file"),
        field_of("rights", pa.string(), "copyright notice embedded in the file"),
        field_of("icc_name", pa.string(), "description of the ICC profile"),
        field_of(
            "ai_declared", pa.bool_(), "the file itself declares that a generative model made it or part"
        ),
        field_of(
            "ai_evidence", pa.list_(pa.string()), "what says so; `hint: ` marks what is not a declaration"
        ),
    ]
)
