"""Exchange with PyTorch Geometric's ``Data`` objects, without loss."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pellucid.clouds import FIELDS, SPLITS, Field, PointClouds, kind_of, offsets
from pellucid.errors import PellucidError


def from_pyg(samples: Iterable[Any], *, node_targets: bool = False) -> PointClouds:
    """Point clouds from ``torch_geometric.data.Data`` objects.

    ``x`` becomes ``features`` when it is a float matrix; every other attribute keeps its name. An attribute is
    point-level when it has one row a node in every sample, edge-level likewise, else cloud-level; ``y`` is always
    cloud-level unless ``node_targets``. Tensors, strings and Python numbers are taken.

    Args:
        samples: Data objects that carry the same attributes.
        node_targets: Whether ``y`` is of the nodes: a point-level field of floats. Masks of nodes (``train_mask``,
            ``val_mask``, ``test_mask``) become a point-level ``split``: 0, 1, 2, and -1 for a node of none.

    Raises:
        PellucidError: if there are none, they carry different attributes, an attribute is of no known kind, or masks
            overlap or are not one bool a node.

    Example:
        >>> from torch_geometric.data import Data
        >>> train = torch.tensor([True, False, False])
        >>> graph = Data(x=torch.eye(3), edge_index=torch.tensor([[0, 1], [1, 2]]), y=torch.tensor([0, 1, 0]),
        ...              train_mask=train, val_mask=train.roll(1), test_mask=train.roll(2))
        >>> clouds = from_pyg([graph], node_targets=True)
        >>> clouds["split"].tolist(), clouds.split("val")["y"].flatten().tolist()
        ([0, 1, 2], [nan, 1.0, nan])
    """
    data = [_of_nodes(sample) for sample in samples] if node_targets else list(samples)
    if not data:
        raise PellucidError("expected at least one Data object, got none; check what was read")
    keys = sorted(set(data[0].keys()) - {"num_nodes"})
    for i, d in enumerate(data):
        here = sorted(set(d.keys()) - {"num_nodes"})
        if here != keys:
            raise PellucidError(f"expected the attributes {', '.join(keys)} in every Data object, got "
                                f"{', '.join(here)} in number {i}; add or delete attributes")
    if "features" in keys:
        raise PellucidError("expected no attribute 'features', got one, which is the name x gets here; rename it")
    nodes = torch.tensor([d.num_nodes for d in data], dtype=torch.int64)
    edges = torch.tensor([d.num_edges for d in data], dtype=torch.int64)
    fields: dict[str, Tensor] = {}
    declared: dict[str, Field] = {}
    text: dict[str, list[str]] = {}
    for key in keys:
        values = [d[key] for d in data]
        if all(isinstance(v, str) for v in values):
            text[key] = values
            continue
        number = type(values[0]) in (bool, int, float) and all(type(v) is type(values[0]) for v in values)
        if number:  # float64 and int64 hold Python's own numbers exactly
            dtype = torch.float64 if isinstance(values[0], float) else None
            values = [torch.tensor(v, dtype=dtype) for v in values]
        if not all(isinstance(v, Tensor) and v.dtype == values[0].dtype for v in values):
            got = sorted({str(v.dtype) if isinstance(v, Tensor) else type(v).__name__ for v in values})
            raise PellucidError(f"expected tensors of one dtype, strings or numbers of one type in {key!r}, got "
                                f"{', '.join(got)}; convert that attribute or delete it")
        name, level, layout = key, "cloud", "stack"
        if number:
            layout = "number"
        elif key == "edge_index":
            level, layout, values = "edge", "rows", [v.t() for v in values]
        elif key.startswith("edge_") and "edge_index" in keys and _rows_match(values, edges):
            level, layout = "edge", "rows"
        elif (key != "y" or node_targets) and _rows_match(values, nodes):
            level, layout = "point", "rows"
            if key == "x" and values[0].dtype.is_floating_point and values[0].ndim == 2:
                name = "features"
        elif key != "y" and "edge_index" in keys and _rows_match(values, edges):
            level, layout = "edge", "rows"
        elif all(v.ndim == 0 for v in values):
            layout = "scalar"
        elif all(v.shape == (1,) for v in values):
            layout = "flat"
        elif key == "y" and all(v.ndim == 2 and len(v) == 1 for v in values):
            layout = "rows"
        if len({v.shape[layout == "rows" :] for v in values}) > 1:
            raise PellucidError(f"expected {key!r} with one row a node, one row an edge or the same shape in every "
                                f"Data object, got {', '.join(sorted({str(tuple(v.shape)) for v in values})[:3])}; "
                                "change that attribute or delete it")
        flat = torch.cat(values) if layout in ("rows", "flat") else torch.stack(values)
        if key == "y" and flat.ndim == 1:
            flat = flat[:, None]
        kind = kind_of(flat)
        known = FIELDS.get(name)
        if known is None or known.dtype != kind or known.level != level or flat.ndim != 1 + len(known.shape):
            known = Field("cloud", shape=tuple(f"d{i}" for i in range(1, flat.ndim)))
        declared[name] = replace(known, level=level, dtype=kind, layout=layout)  # type: ignore[arg-type]
        fields[name] = flat
    return PointClouds(offsets(nodes), fields, text=text, declared=declared,
                       edge_ptr=offsets(edges) if "edge_index" in keys else None)


def _of_nodes(sample: Any) -> Any:
    """A copy whose masks of nodes are one ``split``, and whose ``y`` is real, so that it can be missing."""
    names = [f"{name}_mask" for name in SPLITS]
    changed = sample.clone()
    if "y" in changed:
        changed.y = changed.y if changed.y.dtype.is_floating_point else changed.y.float()
        if not changed.y.ndim or len(changed.y) != changed.num_nodes:
            raise PellucidError(f"expected a row of y for each of {changed.num_nodes} nodes, got shape "
                                f"{tuple(changed.y.shape)}; leave node_targets out for targets of graphs")
    masks = [changed.pop(name) if name in changed else None for name in names]
    if all(mask is None for mask in masks):
        return changed
    split = torch.full((changed.num_nodes,), -1)
    for place, (name, mask) in enumerate(zip(names, masks, strict=True)):
        if mask is None:
            continue
        if mask.shape != split.shape or mask.dtype != torch.bool:
            raise PellucidError(f"expected one bool a node in {name}, got {tuple(mask.shape)} {mask.dtype}; choose one "
                                f"of several splits: data.{name} = data.{name}[:, 0]")
        if bool((split[mask] >= 0).any()):
            raise PellucidError(f"expected masks that do not overlap, got nodes of {name} in another; give each node "
                                "one split")
        split[mask] = place
    changed.split = split
    return changed


def to_pyg(clouds: PointClouds) -> list[Any]:
    """One ``torch_geometric.data.Data`` a cloud; the inverse of :func:`from_pyg`.

    Raises:
        PellucidError: if the samples hold a second cloud, for which PyG's Data has no place.

    Example:
        >>> [data.num_nodes for data in to_pyg(PointClouds(torch.tensor([0, 2, 5]), {"pos": torch.zeros(5, 3)}))]
        [2, 3]
    """
    from torch_geometric.data import Data

    if clouds.partner is not None:
        raise PellucidError("expected clouds without partner, got two clouds in a sample; convert clouds.partner "
                            "on its own")
    ptrs = {"point": clouds.ptr.tolist(), "cloud": list(range(len(clouds) + 1))}
    if clouds.edge_ptr is not None:
        ptrs["edge"] = clouds.edge_ptr.tolist()
    samples = []
    for i in range(len(clouds)):
        values: dict[str, Any] = {}
        for name, tensor in ((name, clouds[name]) for name in clouds.names):
            field = clouds.declared[name]
            rows = tensor[ptrs[field.level][i] : ptrs[field.level][i + 1]]
            if field.layout in ("scalar", "number"):
                rows = rows.reshape(())
            elif field.layout == "flat":
                rows = rows.reshape(1)
            elif field.layout == "stack":
                rows = rows[0]
            key = "x" if name == "features" else name
            values[key] = rows.t().contiguous() if name == "edge_index" else rows
            if field.layout == "number":
                values[key] = rows.item()
        values.update({name: strings[i] for name, strings in clouds.text.items()})
        told = "pos" in clouds or "features" in clouds
        samples.append(Data(**values, num_nodes=None if told else ptrs["point"][i + 1] - ptrs["point"][i]))
    return samples


def _rows_match(values: Sequence[Tensor], counts: Tensor) -> bool:
    return all(v.ndim >= 1 and len(v) == n for v, n in zip(values, counts.tolist(), strict=True))
