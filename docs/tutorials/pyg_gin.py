"""A user's own plain PyG model, explained by pellucid: the code of pyg_gin.md.

    python docs/tutorials/pyg_gin.py                                         # 3,000 molecules of ZINC, some minutes
    python docs/tutorials/pyg_gin.py --smiles tests/datasets/zinc_smiles.txt --epochs 5
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from rdkit import Chem
from rdkit.Chem.Draw import rdMolDraw2D
from torch import nn
from torch_geometric.data import Data
from torch_geometric.explain import Explainer
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GINConv, global_add_pool

from pellucid import from_pyg
from pellucid.chemistry.fragments import matched_atoms
from pellucid.chemistry.molecules import ATOM_TYPES
from pellucid.datasets.zinc import TEST_EQUAL, draw, zinc_smiles
from pellucid.explainers import explainers
from pellucid.explainers.pyg_algorithm import PellucidAlgorithm
from pellucid.explainers.pyg_predictor import PyGPredictor
from pellucid.explanation import Explanation
from pellucid.metrics.classification import roc_auc
from pellucid.metrics.interpretation import per_cloud_roc_auc
from pellucid.report.colours import FALSE_COLOUR, TRUE_COLOUR, colour, rgb
from pellucid.targets import Targets


# -- data: one graph a molecule, its bonds are the edges ------------------------------------------------------------
def graph_of(smiles: str) -> Data:
    """Label: an unbranched alkane and a carbonyl are both there; their atoms are the ground truth."""
    mol = Chem.MolFromSmiles(smiles)
    atoms = list(mol.GetAtoms())
    kind = torch.tensor([ATOM_TYPES.index(atom.GetSymbol()) for atom in atoms])
    hydrogens = torch.tensor([[atom.GetTotalNumHs(), atom.IsInRing()] for atom in atoms])
    bonds = torch.tensor([[b.GetBeginAtomIdx(), b.GetEndAtomIdx()] for b in mol.GetBonds()]).view(-1, 2).t()
    alkane, carbonyl = matched_atoms(mol, "alkane"), matched_atoms(mol, "carbonyl")
    positive = bool(alkane) and bool(carbonyl)
    important = torch.zeros(len(atoms), dtype=torch.bool)
    important[sorted(alkane | carbonyl)] = positive
    x = torch.cat([nn.functional.one_hot(kind, len(ATOM_TYPES)), hydrogens], 1).float()
    return Data(x=x, edge_index=torch.cat([bonds, bonds.flip(0)], 1), y=torch.tensor([float(positive)]),
                important=important, smiles=smiles)


# -- model and training: plain PyG ----------------------------------------------------------------------------------
class GIN(nn.Module):
    def __init__(self, width: int, hidden: int = 64, layers: int = 4) -> None:
        super().__init__()
        widths = [width, *[hidden] * (layers - 1)]
        self.convs = nn.ModuleList(GINConv(nn.Sequential(nn.Linear(w, hidden), nn.BatchNorm1d(hidden), nn.ReLU(),
                                                         nn.Linear(hidden, hidden))) for w in widths)
        self.out = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def encode(self, x, edge_index):
        for conv in self.convs:
            x = conv(x, edge_index).relu()
        return x

    def head(self, h, batch):
        return self.out(global_add_pool(h, batch))

    def forward(self, x, edge_index, batch):
        return self.head(self.encode(x, edge_index), batch)


def train(model: nn.Module, graphs: list[Data], epochs: int) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    model.train()
    for _ in range(epochs):
        for batch in DataLoader(graphs, batch_size=64, shuffle=True):
            logits = model(batch.x, batch.edge_index, batch.batch)
            loss = nn.functional.binary_cross_entropy_with_logits(logits[:, 0], batch.y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.eval()


# -- explaining: our methods on that model --------------------------------------------------------------------------
METHODS = {
    "random": ("random", {}),
    "saliency": ("saliency", {"on": "inputs"}),
    "integrated gradients": ("integrated-gradients", {"on": "inputs"}),
    "gradgam": ("gradgam", {}),
    "occlusion": ("occlusion", {}),
    "bernmask": ("bernmask", {}),
    "bernmask, size=1": ("bernmask", {"size": 1.0}),
    "shapley": ("shapley", {}),
    "PyG's GNNExplainer": ("pyg", {"epochs": 300, "lr": 0.1}),
}


def explain(model: nn.Module, graphs: list[Data], chosen: Sequence[str] = tuple(METHODS)) -> dict[str, torch.Tensor]:
    clouds = from_pyg(graphs)
    predictor = PyGPredictor(model, Targets.of("binary"), encoder=model.encode, head=model.head)
    importance = {}
    for label in chosen:
        name, options = METHODS[label]
        started = time.perf_counter()
        explainer = explainers[name](**options)
        explanation = explainer.explain(predictor, clouds)
        auc = per_cloud_roc_auc(explanation.importance, clouds["important"], clouds.ptr)
        note = kept(predictor, explanation) if explainer.mask else ""
        print(f"{label:22}{auc:6.3f}{time.perf_counter() - started:8.1f} s{note}")
        importance[label] = explanation.importance
    return importance


@torch.no_grad()
def kept(predictor: PyGPredictor, explanation: Explanation) -> str:
    """How often a mask does what it was fitted for: the masked molecule is predicted as the whole one."""
    clouds = explanation.clouds
    masked = predictor.logits(clouds, predictor.neighbors(clouds), point_weight=explanation.importance)
    same = (masked > 0) == (explanation.prediction > 0.5)
    return f"   its masks keep {float(same.float().mean()):.0%} of the predictions"


def explain_in_pyg(model: nn.Module, graphs: list[Data], name: str = "occlusion") -> torch.Tensor:
    batch = next(iter(DataLoader(graphs, batch_size=len(graphs))))
    explainer = Explainer(model, algorithm=PellucidAlgorithm(name), explanation_type="phenomenon",
                          node_mask_type="object", model_config={"mode": "binary_classification", "task_level": "graph",
                                                                 "return_type": "raw"})
    return explainer(batch.x, batch.edge_index, batch=batch.batch, target=batch.y.long()).node_mask[:, 0]


# -- picture --------------------------------------------------------------------------------------------------------
def picture(graphs: list[Data], importance: dict[str, list[torch.Tensor]], path: Path) -> None:
    """A row a molecule: the atoms that decide the label, then the importance by each explainer."""
    truth = [[rgb(TRUE_COLOUR if true else FALSE_COLOUR) for true in graph.important.tolist()] for graph in graphs]
    columns = {"truth": truth, **{name: [colour(v) for v in values] for name, values in importance.items()}}
    drawer = rdMolDraw2D.MolDraw2DCairo(230 * len(columns), 140 * len(graphs), 230, 140)
    drawer.drawOptions().useBWAtomPalette()
    drawer.drawOptions().highlightRadius = 0.4
    drawer.drawOptions().legendFontSize = 16
    mols, atoms, colours, legends = [], [], [], []
    for row, graph in enumerate(graphs):
        for name, rows in columns.items():
            mols.append(rdMolDraw2D.PrepareMolForDrawing(Chem.MolFromSmiles(graph.smiles)))
            atoms.append(list(range(graph.num_nodes)))
            colours.append(dict(enumerate(rows[row])))
            legends.append(name if row == len(graphs) - 1 else "")
    drawer.DrawMolecules(mols, highlightAtoms=atoms, highlightBonds=[[]] * len(mols), highlightAtomColors=colours,
                         highlightBondColors=[{}] * len(mols), legends=legends)
    drawer.FinishDrawing()
    path.write_bytes(drawer.GetDrawingText())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smiles", type=Path, help="a file of SMILES, one a line; default: draw them from ZINC")
    parser.add_argument("--size", type=int, default=3000)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", type=Path, help="where to write the picture")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    if args.smiles:
        smiles = args.smiles.read_text().split()
        test = [i % 5 == 0 for i in range(len(smiles))]
    else:
        drawn = draw(zinc_smiles(), args.size, TEST_EQUAL, args.seed)
        smiles, test = drawn.smiles, drawn.test
    graphs = [graph_of(s) for s in smiles]
    seen = [g for g, held_out in zip(graphs, test, strict=True) if not held_out]
    new = [g for g, held_out in zip(graphs, test, strict=True) if held_out]

    model = GIN(width=graphs[0].x.shape[1])
    started = time.perf_counter()
    train(model, seen, args.epochs)
    batch = next(iter(DataLoader(new, batch_size=len(new))))
    with torch.no_grad():
        logits = model(batch.x, batch.edge_index, batch.batch)
    print(f"{len(seen)} molecules to train on, {time.perf_counter() - started:.0f} s; {len(new)} to test on, ROC AUC "
          f"of the prediction {roc_auc(batch.y, logits[:, 0]):.3f}")

    positive = [g for g in new if g.y]
    print(f"explaining the {len(positive)} positive ones; ROC AUC of the importance within a molecule, and time:")
    importance = explain(model, positive)
    clouds, predictor = from_pyg(positive), PyGPredictor(model, Targets.of("binary"))
    with torch.no_grad():
        alone = predictor.logits(clouds, predictor.neighbors(clouds), point_weight=clouds["important"].float())
    print(f"with the features of all but the true atoms at zero the model says yes to "
          f"{float((alone > 0).float().mean()):.0%}")
    inside = explain_in_pyg(model, positive)
    difference = float((inside - importance["occlusion"]).abs().max())
    print(f"occlusion inside torch_geometric.explain.Explainer: the same to {difference:.0e}")
    if args.picture:
        few = [0, len(positive) // 2, len(positive) - 1]
        parts = {name: values.split([g.num_nodes for g in positive]) for name, values in importance.items()}
        shown = {name: [parts[name][i] for i in few] for name in ("shapley", "occlusion", "saliency")}
        picture([positive[i] for i in few], shown, args.picture)


if __name__ == "__main__":
    main()
