"""Prints how well each importance of a run's test split finds the true atoms: pooled ROC AUC over positive samples.

    python scripts/columns.py runs/joint

For runs of ``joint`` the columns are ``importance``, ``existence`` and ``location``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from sklearn.metrics import roc_auc_score


def main() -> None:
    for name in sys.argv[1:]:
        table = pq.read_table(Path(name) / "explanations.parquet")
        cloud, important = (table[column].to_numpy() for column in ("cloud", "important"))
        positive = np.isin(cloud, np.unique(cloud[important]))
        for column in ("importance", "existence", "location"):
            if column in table.column_names:
                auc = roc_auc_score(important[positive], table[column].to_numpy()[positive])
                print(f"{name}\t{column}\t{auc:.4f}")


if __name__ == "__main__":
    main()
