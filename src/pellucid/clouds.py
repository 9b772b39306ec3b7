"""PointClouds: a ragged batch of point clouds as flat tensors, the one data type of the library."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from pellucid.errors import DamagedFileError, PellucidError
from pellucid.files import read_tensors, write_tensors

Level = Literal["point", "edge", "cloud"]


@dataclass(frozen=True)
class Field:
    """What a tensor of a :class:`PointClouds` means.

    Attributes:
        level: ``"point"`` (one row a point), ``"edge"`` (one row a given edge) or ``"cloud"`` (one row a cloud).
        dtype: ``"float"``, ``"int"`` or ``"bool"``; any width of that kind is taken.
        shape: Names of the trailing dimensions, e.g. ``("D",)``.
        unit: Physical unit, or ``""`` for a pure number; the dataset may set its own.
        about: One line.
        irreps: How a value changes when its cloud is turned: ``""`` not at all, ``"vector"`` as a vector, ``"tensor"``
            as a matrix R T R^T, both in the last dimensions.
        layout: How one sample's value looks in PyG (rows, a ``()`` or ``(1,)`` tensor, a tensor without the leading
            1, or a plain Python number), kept so that :mod:`pellucid.pyg` loses nothing.
    """

    level: Level
    dtype: Literal["float", "int", "bool"] = "float"
    shape: tuple[str, ...] = ()
    unit: str = ""
    about: str = ""
    layout: Literal["rows", "scalar", "flat", "stack", "number"] = "rows"
    irreps: Literal["", "vector", "tensor"] = ""


FIELDS: dict[str, Field] = {
    "pos": Field("point", "float", ("D",), "", "coordinates, in the dataset's unit", irreps="vector"),
    "categories": Field("point", "int", ("C",), "", "categorical features: a number of its kind"),
    "features": Field("point", "float", ("F",), "", "real features"),
    "important": Field("point", "bool", (), "", "ground truth: does this point decide the label"),
    "group": Field("point", "int", (), "", "part that it belongs to, unique in its cloud; -1 = a point alone"),
    "direction": Field("point", "float", ("D",), "", "ground truth direction, e.g. of the velocity",
                       irreps="vector"),
    "y": Field("cloud", "float", ("T",), "", "targets; NaN where missing"),
    "censored": Field("cloud", "int", ("T",), "", "of y: 0 = known, 1 = the true value is at least it, -1 = at most"),
    "split": Field("cloud", "int", (), "", "0 = train, 1 = validation, 2 = test"),
    "cluster": Field("cloud", "int", (), "", "family of samples that a split keeps together"),
    "edge_index": Field("edge", "int", ("2",), "", "given edges: source and target within the cloud"),
    "edge_categories": Field("edge", "int", ("C",), "", "categorical features of given edges"),
    "edge_features": Field("edge", "float", ("F",), "", "real features of given edges"),
}
"""The registry of known fields. A domain or dataset with a new one adds it, in its own module."""

SPLITS = ("train", "val", "test")


def kind_of(tensor: Tensor) -> Literal["float", "int", "bool"]:
    """The kind of a tensor's dtype, as :class:`Field` names it."""
    if tensor.dtype == torch.bool:
        return "bool"
    return "float" if tensor.dtype.is_floating_point else "int"


def ragged_arange(starts: Tensor, sizes: Tensor) -> Tensor:
    """Concatenation of ``arange(start, start + size)``, without a loop.

    Args:
        starts: (n,) int64.
        sizes: (n,) int64, not negative.

    Returns:
        (sizes.sum(),) int64.

    Example:
        >>> ragged_arange(torch.tensor([5, 0]), torch.tensor([2, 3])).tolist()
        [5, 6, 0, 1, 2]
    """
    ends = sizes.cumsum(0)
    shift = torch.repeat_interleave(starts - (ends - sizes), sizes)
    return torch.arange(shift.numel(), device=starts.device) + shift


def offsets(sizes: Tensor) -> Tensor:
    """(n,) sizes -> (n + 1,) offsets that start at 0."""
    return torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])


class PointClouds:
    """A ragged batch of point clouds: flat tensors, one row a point, and offsets.

    Cloud ``i`` owns the rows ``ptr[i]:ptr[i + 1]`` of every point-level field. Instances are not changed in place:
    every method returns a new one, and tensors are shared where that is possible.

    Args:
        ptr: (clouds + 1,) int64 offsets, starting at 0, not decreasing.
        fields: Name -> tensor. Known names are in :data:`FIELDS`; other names are declared by ``declared``.
        text: Name -> one string a cloud (a SMILES, an identifier).
        units: Name -> unit, where it differs from the registry's (``{"pos": "angstrom"}``).
        declared: Name -> :class:`Field` for names outside the registry.
        edge_ptr: (clouds + 1,) int64 offsets of the edge-level fields, where there are any.
        partner: A second point set for each cloud (the ligand of a protein), with as many clouds.

    Raises:
        PellucidError: if the offsets, or a field's rows, level or dtype, do not fit.

    Example:
        >>> two = PointClouds(torch.tensor([0, 1, 3]), {"pos": torch.zeros(3, 3), "y": torch.tensor([[0.], [1.]])})
        >>> len(two), two.sizes.tolist(), two.select(torch.tensor([1]))["pos"].shape
        (2, [1, 2], torch.Size([2, 3]))
    """

    def __init__(
        self,
        ptr: Tensor,
        fields: Mapping[str, Tensor],
        *,
        text: Mapping[str, Sequence[str]] | None = None,
        units: Mapping[str, str] | None = None,
        declared: Mapping[str, Field] | None = None,
        edge_ptr: Tensor | None = None,
        partner: PointClouds | None = None,
    ) -> None:
        self.ptr = ptr
        self.edge_ptr = edge_ptr
        self.partner = partner
        self._tensors = dict(fields)
        self.text = {name: list(values) for name, values in (text or {}).items()}
        self.declared: dict[str, Field] = {}
        for name in self._tensors:
            field = (declared or {}).get(name) or FIELDS.get(name)
            if field is None:
                raise PellucidError(f"expected a declared field, got {name!r}; pass declared={{{name!r}: Field(...)}}")
            if units and name in units:
                field = replace(field, unit=units[name])
            self.declared[name] = field
        self._check()

    def _check(self) -> None:
        ptr = self.ptr
        if ptr.ndim != 1 or len(ptr) < 1 or ptr.dtype != torch.int64:
            raise PellucidError(f"expected ptr of shape (clouds + 1,) int64, got {tuple(ptr.shape)} {ptr.dtype}; "
                                "make it from the sizes of the clouds")
        if self.edge_ptr is not None and (self.edge_ptr.shape != ptr.shape or self.edge_ptr.dtype != torch.int64):
            raise PellucidError(f"expected edge_ptr of shape ({len(ptr)},) int64, got {tuple(self.edge_ptr.shape)} "
                                f"{self.edge_ptr.dtype}; make it from the edges of each cloud")
        if ptr.device.type == "cpu":  # elsewhere looking at the values would make the device wait
            for name, offsets in (("ptr", ptr), ("edge_ptr", self.edge_ptr)):
                if offsets is not None and (int(offsets[0]) != 0 or bool((offsets.diff() < 0).any())):
                    raise PellucidError(f"expected {name} to start at 0 and never to decrease, got "
                                        f"{offsets[:6].tolist()}...; make it from the sizes of the clouds")
            if int(ptr[-1]) != self.points:
                raise PellucidError(f"expected {int(ptr[-1])} points as ptr says, got {self.points} rows; pass the ptr "
                                    "of the same clouds")
        for name, tensor in self._tensors.items():
            field = self.declared[name]
            rows = self._rows(field.level)
            if tensor.ndim < 1 or len(tensor) != rows:
                raise PellucidError(f"expected {rows} rows in the {field.level}-level field {name!r}, "
                                    f"got shape {tuple(tensor.shape)}; one row belongs to each {field.level}")
            if kind_of(tensor) != field.dtype:
                raise PellucidError(f"expected {field.dtype} values in {name!r}, got {tensor.dtype}; convert it")
            if (name in FIELDS or field.shape) and tensor.ndim != 1 + len(field.shape):
                raise PellucidError(f"expected {name!r} of shape ({', '.join(('rows', *field.shape))}), "
                                    f"got {tuple(tensor.shape)}; reshape it")
        for name, values in self.text.items():
            if len(values) != len(self):
                raise PellucidError(f"expected {len(self)} strings in {name!r}, got {len(values)}; give each cloud one")
        if self.partner is not None and len(self.partner) != len(self):
            raise PellucidError(f"expected {len(self)} partner clouds, got {len(self.partner)}; an empty one will do")

    def _rows(self, level: Level) -> int:
        if level == "point":
            return self.points
        if level == "cloud":
            return len(self)
        return int(self.edge_ptr[-1]) if self.edge_ptr is not None else 0

    # -- reading ------------------------------------------------------------------------------------------------
    def __len__(self) -> int:
        return len(self.ptr) - 1

    def __getitem__(self, name: str) -> Tensor:
        try:
            return self._tensors[name]
        except KeyError:
            raise PellucidError(f"expected a field {name!r}, got only {', '.join(sorted(self._tensors))}; this "
                                "dataset does not carry it") from None

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def __repr__(self) -> str:
        fields = ", ".join(f"{k}={tuple(v.shape)}" for k, v in self._tensors.items())
        return f"PointClouds({len(self)} clouds, {self.points} points: {fields})"

    def get(self, name: str) -> Tensor | None:
        """The field, or None where the clouds do not carry it."""
        return self._tensors.get(name)

    @property
    def names(self) -> list[str]:
        """Names of the tensor fields."""
        return list(self._tensors)

    @property
    def points(self) -> int:
        """Number of points of all clouds together."""
        for name, tensor in self._tensors.items():
            if self.declared[name].level == "point":
                return len(tensor)
        return int(self.ptr[-1])

    @property
    def pos(self) -> Tensor:
        """(points, D) coordinates."""
        return self["pos"]

    @property
    def sizes(self) -> Tensor:
        """(clouds,) number of points of each cloud."""
        return self.ptr.diff()

    @property
    def batch(self) -> Tensor:
        """(points,) index of the cloud that each point belongs to."""
        return torch.repeat_interleave(torch.arange(len(self), device=self.ptr.device), self.sizes,
                                       output_size=self.points)

    def edges(self) -> Tensor:
        """(2, edges) the given edges as rows of the flat tensors, in PyG's order: row 0 sources, row 1 targets.

        Raises:
            PellucidError: if the clouds do not carry ``edge_index``, or an end is no point of its cloud.

        Example:
            >>> bonds = {"edge_index": torch.tensor([[0, 1], [1, 0]])}
            >>> PointClouds(torch.tensor([0, 3, 5]), bonds, edge_ptr=torch.tensor([0, 0, 2])).edges().tolist()
            [[3, 4], [4, 3]]
        """
        ends, edge_ptr = self["edge_index"], self.edge_ptr
        if edge_ptr is None:
            return ends.t()  # no rows
        cloud = torch.repeat_interleave(torch.arange(len(self), device=self.device), edge_ptr.diff(),
                                        output_size=len(ends))
        outside = (ends < 0) | (ends >= self.sizes[cloud, None])
        if self.device.type == "cpu" and bool(outside.any()):  # elsewhere looking would make the device wait
            at = int(outside.any(1).nonzero()[0])
            raise PellucidError(f"expected edges among the {int(self.sizes[cloud[at]])} points of cloud "
                                f"{int(cloud[at])}, got {ends[at].tolist()}; count the points of each cloud from 0")
        return ends.t() + self.ptr[cloud]

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.ptr.device

    def unit(self, name: str) -> str:
        """Unit of a field, ``""`` for a pure number."""
        return self.declared[name].unit

    # -- new from old -------------------------------------------------------------------------------------------
    def _like(self, ptr: Tensor, tensors: Mapping[str, Tensor], text: Mapping[str, Sequence[str]],
              edge_ptr: Tensor | None, partner: PointClouds | None) -> PointClouds:
        new = object.__new__(PointClouds)  # rows fit by construction; this is the hot path of batching
        new.ptr, new.edge_ptr, new.partner = ptr, edge_ptr, partner
        new._tensors, new.declared = dict(tensors), {name: self.declared[name] for name in tensors}
        new.text = {name: list(values) for name, values in text.items()}
        return new

    def replace(self, *, declared: Mapping[str, Field] | None = None, partner: PointClouds | None = None,
                text: Mapping[str, Sequence[str]] | None = None, **fields: Tensor) -> PointClouds:
        """The same clouds with some fields added or exchanged.

        Args:
            declared: Name -> :class:`Field` for names outside the registry.
            partner: Other second clouds; None keeps those that are there.
            text: Name -> one string a cloud.
            **fields: Name -> tensor.

        Raises:
            PellucidError: if a field does not fit.
        """
        return PointClouds(self.ptr, {**self._tensors, **fields}, text={**self.text, **(text or {})},
                           declared={**self.declared, **(declared or {})}, edge_ptr=self.edge_ptr,
                           partner=self.partner if partner is None else partner)

    def with_field(self, name: str, field: Field, values: Tensor) -> PointClouds:
        """The same clouds with one field more, declared here.

        Raises:
            PellucidError: if it does not fit.
        """
        return PointClouds(self.ptr, {**self._tensors, name: values}, text=self.text,
                           declared={**self.declared, name: field}, edge_ptr=self.edge_ptr, partner=self.partner)

    def select(self, clouds: Tensor) -> PointClouds:
        """The clouds at the given places, in that order: one vectorised gather, no loop over samples.

        Args:
            clouds: (n,) int64 places, or (clouds,) bool mask.

        Returns:
            PointClouds with ``n`` clouds.

        Raises:
            PellucidError: if a place is outside, or the mask has another length.
        """
        clouds = _places(clouds.to(self.device), len(self))
        rows: dict[Level, Tensor] = {"cloud": clouds}
        sizes = self.sizes[clouds]
        rows["point"] = ragged_arange(self.ptr[clouds], sizes)
        edge_ptr = None
        if self.edge_ptr is not None:
            edge_sizes = self.edge_ptr.diff()[clouds]
            rows["edge"], edge_ptr = ragged_arange(self.edge_ptr[clouds], edge_sizes), offsets(edge_sizes)
        tensors = {k: v.index_select(0, rows[self.declared[k].level]) for k, v in self._tensors.items()}
        text = {k: [v[i] for i in clouds.tolist()] for k, v in self.text.items()}
        partner = self.partner.select(clouds) if self.partner is not None else None
        return self._like(offsets(sizes), tensors, text, edge_ptr, partner)

    def keep_points(self, keep: Tensor) -> PointClouds:
        """The same clouds without some of their points (clouds may become empty).

        Given edges stay where both ends stay. Edge-level fields without ``edge_index`` are dropped.

        Args:
            keep: (points,) bool.

        Raises:
            PellucidError: if the mask is not one bool a point.
        """
        if keep.dtype != torch.bool or keep.shape != (self.points,):
            raise PellucidError(f"expected a bool mask of shape ({self.points},), got {tuple(keep.shape)} "
                                f"{keep.dtype}; say for each point whether it stays")
        keep = keep.to(self.device)
        rows = offsets(keep.to(torch.int64))  # what was row v is row rows[v] of what stays
        ptr, edge_ptr = rows[self.ptr], None
        tensors = {k: v[keep] if self.declared[k].level == "point" else v for k, v in self._tensors.items()
                   if self.declared[k].level != "edge"}
        if self.edge_ptr is not None and "edge_index" in self:
            ends = self.edges()
            stay = keep[ends].all(0)
            edge_ptr = offsets(stay.to(torch.int64))[self.edge_ptr]
            tensors |= {k: v[stay] for k, v in self._tensors.items() if self.declared[k].level == "edge"}
            starts = torch.repeat_interleave(ptr[:-1], edge_ptr.diff())
            tensors["edge_index"] = (rows[ends[:, stay]] - starts).t().to(self["edge_index"].dtype)
        return self._like(ptr, tensors, self.text, edge_ptr, self.partner)

    def split(self, name: str) -> PointClouds:
        """One split: ``"train"``, ``"val"`` or ``"test"``.

        Returns:
            The clouds of that split. Where ``split`` is declared a field of points (nodes of one graph): all clouds
            with all their points, and ``y`` of the points of other splits missing (NaN).

        Raises:
            PellucidError: for another name, or a ``y`` of clouds beside a split of points.

        Example:
            >>> graph = PointClouds(torch.tensor([0, 2]), {"y": torch.tensor([[1.0], [0.0]]),
            ...     "split": torch.tensor([0, 2])},
            ...     declared={"y": Field("point", shape=("T",)), "split": Field("point", "int")})
            >>> graph.split("train")["y"].tolist()
            [[1.0], [nan]]
        """
        if name not in SPLITS:
            raise PellucidError(f"expected a split out of {', '.join(SPLITS)}, got {name!r}")
        if self["split"].ndim == 1 and self.declared["split"].level == "point":
            if "y" not in self:
                return self
            y = self["y"]
            if self.declared["y"].level != "point" or not y.dtype.is_floating_point:
                raise PellucidError(f"expected a float y a point beside a split of points, got {y.dtype} a "
                                    f"{self.declared['y'].level}; declare y with level='point', or split clouds")
            return self.replace(y=y.masked_fill((self["split"] != SPLITS.index(name))[:, None], torch.nan))
        return self.select(self["split"] == SPLITS.index(name))

    def without_text(self) -> PointClouds:
        """The same clouds without strings: what a training loop carries to the device."""
        partner = self.partner.without_text() if self.partner is not None else None
        return self._like(self.ptr, self._tensors, {}, self.edge_ptr, partner)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> PointClouds:
        """Moves all tensors; ``dtype`` changes the floating-point ones only."""

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device=device, dtype=dtype if tensor.dtype.is_floating_point else None)

        partner = self.partner.to(device, dtype) if self.partner is not None else None
        return self._like(move(self.ptr), {k: move(v) for k, v in self._tensors.items()}, self.text,
                          move(self.edge_ptr) if self.edge_ptr is not None else None, partner)

    def rotate(self, rotation: Tensor) -> PointClouds:
        """The clouds turned (or mirrored) about the origin, second clouds with them: each field by its own irreps.

        Args:
            rotation: (D, D), or (clouds, D, D) for one a cloud: orthogonal R, and r becomes R r.

        Raises:
            PellucidError: if there are no coordinates, or R has another shape or is not orthogonal.

        Example:
            >>> quarter = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
            >>> PointClouds(torch.tensor([0, 1]), {"pos": torch.tensor([[2.0, 0.0]])}).rotate(quarter).pos.tolist()
            [[0.0, 2.0]]
        """
        dim = self.pos.shape[1]
        if rotation.shape not in ((dim, dim), (len(self), dim, dim)):
            raise PellucidError(f"expected a rotation of shape ({dim}, {dim}) or ({len(self)}, {dim}, {dim}), got "
                                f"{tuple(rotation.shape)}")
        each = rotation.expand(len(self), dim, dim).to(self.pos)
        if self.device.type == "cpu":  # elsewhere looking would make the device wait
            off = (each @ each.transpose(1, 2) - torch.eye(dim, dtype=each.dtype)).abs()
            if off.numel() and float(off.max()) > 1e-3:
                raise PellucidError("expected an orthogonal matrix, got one that stretches; orthogonalise it")
        turned: dict[str, Tensor] = {}
        for name, field in self.declared.items():
            if not field.irreps or self[name].shape[-1] != dim:
                continue
            own = each if field.level == "cloud" else each[self.batch if field.level == "point" else self.edge_batch]
            values = self[name]
            wide = own.view(len(own), *[1] * (values.ndim - 1 - (1 if field.irreps == "vector" else 2)), dim, dim)
            turned[name] = ((wide @ values[..., None]).squeeze(-1) if field.irreps == "vector"
                            else wide @ values @ wide.transpose(-1, -2))
        partner = None if self.partner is None else self.partner.rotate(rotation)
        return self._like(self.ptr, {**self._tensors, **turned}, self.text, self.edge_ptr, partner)

    @property
    def edge_batch(self) -> Tensor:
        """(edges,) index of the cloud that each given edge belongs to."""
        if self.edge_ptr is None:
            return self.ptr.new_zeros(0)
        return torch.repeat_interleave(torch.arange(len(self), device=self.device), self.edge_ptr.diff())

    def check_finite(self) -> PointClouds:
        """Returns the clouds themselves.

        Raises:
            PellucidError: if coordinates or features hold NaN or infinity, naming the first such cloud.
        """
        for name in ("pos", "features", "edge_features"):
            if name in self and not bool(self[name].isfinite().all()):
                row, level = int((~self[name].isfinite().flatten(1).all(1)).nonzero()[0]), self.declared[name].level
                ptr = self.edge_ptr if level == "edge" and self.edge_ptr is not None else self.ptr
                cloud = int(torch.searchsorted(ptr, row, right=True)) - 1
                raise PellucidError(f"expected finite values in {name!r}, got NaN or infinity in cloud {cloud} "
                                    f"({level} {row - int(ptr[cloud])}); mend or drop that sample")
        if self.partner is not None:
            self.partner.check_finite()
        return self

    @staticmethod
    def cat(parts: Sequence[PointClouds]) -> PointClouds:
        """Clouds of several batches one after the other; all must carry the same fields.

        Raises:
            PellucidError: if the list is empty, or the fields, their units or the partners differ.
        """
        if not parts:
            raise PellucidError("expected at least one PointClouds, got none; check what was read")
        first = parts[0]
        if any(set(p.names) != set(first.names) or set(p.text) != set(first.text) for p in parts):
            raise PellucidError("expected the same fields in all parts, got different ones; drop or add fields first")
        for name, field in first.declared.items():
            for part in parts:
                other = part.declared[name]
                if (other.level, other.dtype, other.unit) != (field.level, field.dtype, field.unit):
                    raise PellucidError(f"expected {name!r} to be {field.level}-level {field.dtype} in {field.unit!r} "
                                        f"in all parts, got {other.level}-level {other.dtype} in {other.unit!r}; "
                                        "convert one of them")
        if len({p.partner is None for p in parts}) > 1 or len({p.edge_ptr is None for p in parts}) > 1:
            raise PellucidError("expected partner clouds and edges in all parts or in none, got some; drop or add them "
                                "first")
        edge_ptr = None
        if first.edge_ptr is not None:
            edge_ptr = offsets(torch.cat([p.edge_ptr.diff() for p in parts if p.edge_ptr is not None]))
        partners = [p.partner for p in parts if p.partner is not None]
        return first._like(
            offsets(torch.cat([p.sizes for p in parts])),
            {k: torch.cat([p[k] for p in parts]) for k in first.names},
            {k: [s for p in parts for s in p.text[k]] for k in first.text},
            edge_ptr,
            PointClouds.cat(partners) if partners else None,
        )

    # -- disk ---------------------------------------------------------------------------------------------------
    def save(self, path: Path, provenance: Mapping[str, Any] | None = None) -> None:
        """Writes one safetensors file: tensors, strings, the declared fields and the provenance (JSON).

        Args:
            path: File to write; it appears whole or not at all.
            provenance: JSON-able account of where the data came from.
        """
        tensors, header = self._flat("")
        write_tensors(path, tensors, {"pellucid": json.dumps(header), "provenance": json.dumps(provenance or {})})

    def _flat(self, prefix: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = {f"{prefix}ptr": self.ptr, **{f"{prefix}field.{k}": v for k, v in self._tensors.items()}}
        if self.edge_ptr is not None:
            tensors[f"{prefix}edge_ptr"] = self.edge_ptr
        for name, values in self.text.items():
            encoded = [v.encode() for v in values]
            tensors[f"{prefix}text.{name}"] = torch.frombuffer(bytearray(b"".join(encoded) or b"\0"), dtype=torch.uint8)
            sizes = torch.tensor([len(v) for v in encoded], dtype=torch.int64)
            tensors[f"{prefix}text_ptr.{name}"] = offsets(sizes)
        header: dict[str, Any] = {"fields": {k: asdict(v) for k, v in self.declared.items()}}
        if self.partner is not None:
            more, header["partner"] = self.partner._flat(prefix + "partner.")
            tensors.update(more)
        return tensors, header

    @staticmethod
    def load(path: Path) -> tuple[PointClouds, dict[str, Any]]:
        """Reads what :meth:`save` wrote: the clouds (memory-mapped) and the provenance.

        Raises:
            PellucidError: if the file is missing.
            DamagedFileError: if it is damaged.
        """
        tensors, metadata = read_tensors(path)
        try:
            header = json.loads(metadata["pellucid"])
            return PointClouds._unflat(tensors, header, ""), json.loads(metadata["provenance"])
        except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
            raise DamagedFileError(f"expected point clouds in {path}, got a damaged file ({error}); delete it and "
                                   "make it again") from error

    @staticmethod
    def _unflat(tensors: Mapping[str, Tensor], header: Mapping[str, Any], prefix: str) -> PointClouds:
        declared = {k: Field(**{**v, "shape": tuple(v["shape"])}) for k, v in header["fields"].items()}
        text = {}
        for key in tensors:
            if key.startswith(f"{prefix}text."):
                name = key.removeprefix(f"{prefix}text.")
                blob, ends = tensors[key].numpy().tobytes(), tensors[f"{prefix}text_ptr.{name}"].tolist()
                text[name] = [blob[a:b].decode() for a, b in itertools.pairwise(ends)]
        partner = PointClouds._unflat(tensors, header["partner"], prefix + "partner.") if "partner" in header else None
        return PointClouds(tensors[f"{prefix}ptr"], {k: tensors[f"{prefix}field.{k}"] for k in declared}, text=text,
                           declared=declared, edge_ptr=tensors.get(f"{prefix}edge_ptr"), partner=partner)


def _places(clouds: Tensor, count: int) -> Tensor:
    """Checks what :meth:`PointClouds.select` was given; a mask becomes places."""
    if clouds.dtype == torch.bool:
        if clouds.shape != (count,):
            raise PellucidError(f"expected a mask of shape ({count},), got {tuple(clouds.shape)}; give each "
                                "cloud a bool")
        return clouds.nonzero().squeeze(1)
    if clouds.ndim != 1 or clouds.dtype not in (torch.int64, torch.int32):
        raise PellucidError(f"expected places of shape (n,) int64 or a bool mask, got {tuple(clouds.shape)} "
                            f"{clouds.dtype}; convert them")
    if clouds.device.type == "cpu" and len(clouds):  # elsewhere looking at the values would make the device wait
        low, high = (int(v) for v in clouds.aminmax())
        if low < 0 or high >= count:
            raise PellucidError(f"expected places from 0 to {count - 1}, got {low if low < 0 else high}; there are "
                                f"only {count} clouds")
    return clouds.to(torch.int64)
