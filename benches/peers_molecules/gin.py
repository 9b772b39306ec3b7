"""A plain GIN on atoms and bonds, explained by integrated gradients; run as a child process.

GINE layers (Hu et al. 2020, "Strategies for pre-training graph neural networks") with the atom and bond categories of
OGB's molecules, written here, sum and mean of the atoms side by side, and early stopping. Nothing was tuned.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rdkit import Chem, rdBase
from torch import Tensor, nn
from torch.nn import functional

from peers_molecules.jobs import Job, part_of_child

with warnings.catch_warnings(action="ignore"):  # PyG scripts a class when it is imported, which torch deprecates
    from torch_geometric.data import Data
    from torch_geometric.loader import DataLoader
    from torch_geometric.nn import GINEConv, global_add_pool, global_mean_pool

WIDTH, LAYERS, EPOCHS, PATIENCE, BATCH, RATE = 64, 4, 50, 10, 64, 1e-3
IG_STEPS = 50
H, B = Chem.HybridizationType, Chem.BondType
HYBRIDS = (H.SP, H.SP2, H.SP3, H.SP3D, H.SP3D2)
ORDERS = (B.SINGLE, B.DOUBLE, B.TRIPLE, B.AROMATIC)
ATOM_SIZES = (119, 5, 12, 12, 10, 6, len(HYBRIDS) + 1, 2, 2)
BOND_SIZES = (len(ORDERS) + 1, 6, 2)


def atom_categories(atom: Chem.Atom) -> list[int]:
    """Element, chirality tag, degree, charge, hydrogens, radicals, hybridisation, aromatic, in a ring."""
    return [atom.GetAtomicNum(), min(int(atom.GetChiralTag()), 4), min(atom.GetTotalDegree(), 11),
            min(max(atom.GetFormalCharge(), -5), 6) + 5, min(atom.GetTotalNumHs(), 9),
            min(atom.GetNumRadicalElectrons(), 5), _place(HYBRIDS, atom.GetHybridization()),
            int(atom.GetIsAromatic()), int(atom.IsInRing())]


def bond_categories(bond: Chem.Bond) -> list[int]:
    """Order, stereo, conjugated."""
    return [_place(ORDERS, bond.GetBondType()), min(int(bond.GetStereo()), 5), int(bond.GetIsConjugated())]


def _place(known: Sequence[Any], value: Any) -> int:
    return known.index(value) if value in known else len(known)


def graph_of(smiles: str) -> Data:
    mol = Chem.MolFromSmiles(smiles)
    ends = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in mol.GetBonds()]
    edges = [pair for a, b in ends for pair in ((a, b), (b, a))]
    kinds = [kind for bond in mol.GetBonds() for kind in [bond_categories(bond)] * 2]
    return Data(x=torch.tensor([atom_categories(atom) for atom in mol.GetAtoms()]),
                edge_index=torch.tensor(edges, dtype=torch.int64).reshape(-1, 2).T.contiguous(),
                edge_attr=torch.tensor(kinds, dtype=torch.int64).reshape(-1, len(BOND_SIZES)))


class Categories(nn.Module):
    """The sum of an embedding for each category."""

    def __init__(self, sizes: Sequence[int]):
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(size, WIDTH) for size in sizes)

    def forward(self, categories: Tensor) -> Tensor:
        return sum(table(column) for table, column in zip(self.tables, categories.T, strict=True))


class Gin(nn.Module):
    def __init__(self, outputs: int):
        super().__init__()
        self.atoms = Categories(ATOM_SIZES)
        self.bonds = nn.ModuleList(Categories(BOND_SIZES) for _ in range(LAYERS))
        self.convs = nn.ModuleList(
            GINEConv(nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.BatchNorm1d(2 * WIDTH), nn.ReLU(),
                                   nn.Linear(2 * WIDTH, WIDTH)), train_eps=True) for _ in range(LAYERS))
        self.norms = nn.ModuleList(nn.BatchNorm1d(WIDTH) for _ in range(LAYERS))
        self.head = nn.Sequential(nn.Linear(2 * WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, outputs))

    def from_embedded(self, hidden: Tensor, edge_index: Tensor, edge_attr: Tensor, batch: Tensor,
                      graphs: int) -> Tensor:
        for i, (conv, norm, bonds) in enumerate(zip(self.convs, self.norms, self.bonds, strict=True)):
            hidden = norm(conv(hidden, edge_index, bonds(edge_attr)))
            hidden = hidden if i == LAYERS - 1 else torch.relu(hidden)
        pooled = [pool(hidden, batch, size=graphs) for pool in (global_mean_pool, global_add_pool)]
        return self.head(torch.cat(pooled, 1))

    def forward(self, data: Any) -> Tensor:
        return self.from_embedded(self.atoms(data.x), data.edge_index, data.edge_attr, data.batch, data.num_graphs)


def loss_of(kind: str, logits: Tensor, y: Tensor) -> Tensor:
    """Mean squared error or cross entropy over what was measured."""
    known = ~torch.isnan(y)
    if not known.any():
        return logits.sum() * 0
    if kind == "regression":
        return functional.mse_loss(logits[known], y[known])
    return functional.binary_cross_entropy_with_logits(logits[known], y[known])


def fit(job: Job) -> None:
    torch.manual_seed(job.seed)
    smiles, values, parts = job.table()
    train = values[parts == "train"]
    center, spread = np.nanmean(train, 0), np.maximum(np.nanstd(train, 0), 1e-8)
    scaled = (values - center) / spread if job.kind == "regression" else values
    with rdBase.BlockLogs():
        graphs = [graph_of(text) for text in smiles]
    for graph, row in zip(graphs, scaled, strict=True):
        graph.y = torch.tensor(row[None], dtype=torch.float32)
    of = {part: [graphs[i] for i in np.flatnonzero(parts == part)] for part in ("train", "val", "test")}
    model = Gin(len(job.targets))
    optimiser = torch.optim.Adam(model.parameters(), lr=RATE)
    # Batch norm cannot learn from a last batch of one molecule of one atom.
    batches = DataLoader(of["train"], BATCH, shuffle=True, drop_last=len(of["train"]) % BATCH == 1)
    best, waited, kept = math.inf, 0, copy.deepcopy(model.state_dict())
    for _ in range(EPOCHS):
        model.train()
        for batch in batches:
            optimiser.zero_grad()
            loss_of(job.kind, model(batch), batch.y).backward()
            optimiser.step()
        logits, y = outputs_of(model, of["val"])
        error = float(loss_of(job.kind, logits, y))
        waited += 1
        if error < best:
            best, waited, kept = error, 0, copy.deepcopy(model.state_dict())
        if waited == PATIENCE:
            break
    model.load_state_dict(kept)
    logits, _ = outputs_of(model, of["test"])
    job.write_predictions(logits.double().numpy() * spread + center if job.kind == "regression"
                          else torch.sigmoid(logits).double().numpy())
    if job.explained:
        torch.save(kept, job.folder / "gin.pt")


@torch.no_grad()
def outputs_of(model: Gin, graphs: Sequence[Data]) -> tuple[Tensor, Tensor]:
    model.eval()
    found = [(model(batch), batch.y) for batch in DataLoader(graphs, 256)]
    return torch.cat([logits for logits, _ in found]), torch.cat([y for _, y in found])


def attributions(model: Gin, graph: Data) -> NDArray[np.float64]:
    """Integrated gradients of the first output from embeddings of zero, summed over an atom's embedding (Captum)."""
    from captum.attr import IntegratedGradients

    edges = graph.edge_index.shape[1]

    def forward(embedded: Tensor) -> Tensor:
        copies, atoms, _ = embedded.shape
        shift = (torch.arange(copies) * atoms).repeat_interleave(edges)
        return model.from_embedded(embedded.reshape(copies * atoms, WIDTH), graph.edge_index.repeat(1, copies) + shift,
                                   graph.edge_attr.repeat(copies, 1), torch.arange(copies).repeat_interleave(atoms),
                                   copies)[:, 0]

    with torch.no_grad():
        embedded = model.atoms(graph.x)[None]
    found = IntegratedGradients(forward).attribute(embedded, n_steps=IG_STEPS)
    return found[0].sum(1).detach().double().numpy()


def explain(job: Job) -> None:
    model = Gin(len(job.targets))
    model.load_state_dict(torch.load(job.folder / "gin.pt", weights_only=True))
    model.eval()
    with rdBase.BlockLogs():
        job.write_importance([attributions(model, graph_of(row["smiles"])) for row in job.rows("explain.csv")])


if __name__ == "__main__":
    part_of_child(fit, explain)
