"""What samples look like: pictures, texts, or the numbers in which they differ from their neighbours."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pellucid.errors import PellucidError
from pellucid.margin.samples import Samples
from pellucid.margin.scaling import family_of
from pellucid.margin.tables import Source, matrix

Looks = Literal["image", "text", "rows"]
_SIDE = 160
"""Pixels of the longer side of a picture."""
_LETTERS = 1500
"""Letters of a text that are kept."""
_NUMBERS = 8
"""Numbers that are shown of a row: those in which it differs most from its neighbours."""
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")


def parse_size(text: str) -> tuple[int, ...]:
    """Height, width and, for colours, three channels.

    Raises:
        PellucidError: for anything else.

    Example:
        >>> parse_size("28x28"), parse_size("32x32x3")
        ((28, 28), (32, 32, 3))
    """
    if not re.fullmatch(r"[1-9]\d{0,4}x[1-9]\d{0,4}(x3)?", text):
        raise PellucidError(f"expected an image size such as 28x28 or 32x32x3, got {text!r}")
    return tuple(map(int, text.split("x")))


def looks(source: Source, samples: Samples, chosen: Sequence[int], neighbours: Mapping[int, Sequence[int]], *,
          show: str | None = None, size: tuple[int, ...] | None = None,
          typical: Mapping[int, NDArray[np.float64]] | None = None) -> tuple[Looks, dict[int, Any], list[str]]:
    """How to show samples.

    Args:
        source: The table.
        samples: What was read of it.
        chosen: Samples that are looked at.
        neighbours: Of each.
        show: Column with what a person looks at: images (bytes, or a struct with them), paths of images, or texts.
        size: Shape of images that the features themselves are.
        typical: By chosen sample, what its features usually are with its label; then rows tell how it differs from
            that and not from its neighbours.

    Returns:
        What there is to see; by sample a picture as a data address, a text, or rows of (feature, its value, the
        neighbours' median, what is typical where that is given, the difference in standard deviations); and notes for
        the reader.

    Raises:
        PellucidError: if the column holds none of these.
    """
    if show is None and size is None:
        return "rows", _rows(source, samples, chosen, neighbours, typical), []
    everyone = np.array(sorted({*chosen, *(j for i in chosen for j in neighbours[i])}))
    if show is None:
        assert size is not None
        pixels = _features(source, samples, everyone)[:, pixel_order(samples.names)]
        low, high = float(np.nanmin(pixels)), float(np.nanmax(pixels))
        grey = np.nan_to_num((pixels - low) / max(high - low, 1e-12) * 255).round().astype(np.uint8)
        return "image", {i: _png(p.reshape(size)) for i, p in zip(everyone.tolist(), grey, strict=True)}, []
    table = source.rows(samples.rows[everyone], [show])
    values, kind = table.column(show).to_pylist(), source.type_of(show)
    if pa.types.is_struct(kind) and {"bytes", "path"} & {f.name for f in kind}:
        values = [None if v is None else v.get("bytes") or v.get("path") for v in values]
    elif pa.types.is_nested(kind):
        raise PellucidError(f"expected images or texts in {show!r}, got {kind}; choose another column")
    texts = [v for v in values if isinstance(v, str) and v]
    if any(isinstance(v, bytes) for v in values) or (texts and all(t.lower().endswith(_PICTURES) for t in texts)):
        pictures = {i: _thumbnail(v, source.folder) for i, v in zip(everyone.tolist(), values, strict=True)}
        lost = sum(p is None for p in pictures.values())
        if lost == len(pictures):
            raise PellucidError(f"expected images in {show!r}, got none that opens; paths begin in the table's folder")
        note = f"{lost} of {len(pictures)} images do not open and are shown as empty boxes."
        return "image", pictures, [note] if lost else []
    return "text", {i: "" if v is None else _clip(str(v)) for i, v in zip(everyone.tolist(), values, strict=True)}, []


def pixel_order(names: Sequence[str]) -> NDArray[np.int64]:
    """The places of numbered columns in the order of their numbers, whatever their order in the table.

    Example:
        >>> pixel_order(["x0", "x10", "x2"]).tolist()
        [0, 2, 1]
    """
    if len({family_of(name) for name in names}) > 1:
        return np.arange(len(names))
    numbers = [tuple(map(int, re.findall(r"\d+", name))) for name in names]
    return np.array(sorted(range(len(names)), key=numbers.__getitem__))


def _features(source: Source, samples: Samples, chosen: NDArray[np.int64]) -> NDArray[np.float64]:
    """(chosen, features) as they stand in the table."""
    table = source.rows(samples.rows[chosen], samples.columns).combine_chunks()
    return np.hstack([matrix(table.column(name).combine_chunks(), name) for name in samples.columns])


def _rows(source: Source, samples: Samples, chosen: Sequence[int], neighbours: Mapping[int, Sequence[int]],
          typical: Mapping[int, NDArray[np.float64]] | None) -> dict[int, list[list[Any]]]:
    everyone = np.array(sorted({*chosen, *(j for i in chosen for j in neighbours[i])}))
    values = _features(source, samples, everyone)
    out = {}
    for i in chosen:
        own = values[np.searchsorted(everyone, i)]
        near = values[np.searchsorted(everyone, np.array(neighbours[i], int))]
        middle = np.median(near, axis=0) if len(near) else np.full(len(own), np.nan)
        usual = middle if typical is None else typical[i]
        away = (own - usual) / np.where(samples.spread > 0, samples.spread, 1)
        first = np.argsort(-np.nan_to_num(np.abs(away), nan=-1.0), kind="stable")[:_NUMBERS]
        out[i] = [[samples.names[j], own[j], middle[j], *([] if typical is None else [usual[j]]), away[j]]
                  for j in first]
    return out


def _clip(text: str) -> str:
    return text if len(text) <= _LETTERS else text[:_LETTERS].rstrip() + " …"


def _address(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _png(pixels: NDArray[np.uint8]) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return _address(file.getvalue(), "png")


def _thumbnail(value: bytes | str | None, folder: Path) -> str | None:
    """A small copy; None if there is no picture in it."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(value) if isinstance(value, bytes) else folder / (value or "")) as image:
            image.thumbnail((_SIDE, _SIDE))
            small = image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None
    if max(small.size) <= 64:  # JPEG blurs what is small
        return _png(np.asarray(small))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=82)
    return _address(file.getvalue(), "jpeg")
