"""Influence functions of logistic regression, exact (Koh and Liang 2017): how much a sample props up its own label."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression


def self_influence(model: LogisticRegression, x: NDArray[np.floating], y: NDArray[np.int64]) -> NDArray[np.float64]:
    """How much the loss of each training sample falls when the sample itself gets more weight.

    With w the parameters that minimise sum_i l(z_i, w) + |w|^2 / (2 C), weights e_i of single losses and H the Hessian
    of that objective, dl(z_i, w) / de_i = -g_i^T H^-1 g_i with g_i the gradient of l(z_i, w): Koh and Liang,
    Understanding Black-box Predictions via Influence Functions, 2017, equations 1 and 2, whose wrong labels are those
    with the greatest magnitude (section 5.4). The Hessian is computed and inverted as it is, without sampling.

    Args:
        model: Fitted on x and y, with classes 0, 1, ... and an L2 penalty.
        x: (samples, features).
        y: (samples,) class numbers.

    Returns:
        (samples,) g_i^T H^-1 g_i, not negative.

    Example:
        >>> x, y = np.array([[-2.0], [-1.0], [1.0], [2.0], [3.0]]), np.array([0, 0, 1, 1, 0])
        >>> int(self_influence(LogisticRegression().fit(x, y), x, y).argmax())
        4
    """
    z = np.column_stack([x, np.ones(len(x))]).astype(np.float64)
    p = model.predict_proba(x).astype(np.float64)
    if len(model.classes_) == 2:  # one vector of parameters, that of the second class
        p, target = p[:, 1:], (y == 1)[:, None]
        curvature = p * (1 - p)
        hessian = (z.T * curvature[:, 0]) @ z
    else:
        target = y[:, None] == np.arange(p.shape[1])
        hessian = np.block([[(z.T * (p[:, a] * ((a == b) - p[:, b]))) @ z for b in range(p.shape[1])]
                            for a in range(p.shape[1])])
    penalty = np.ones(z.shape[1]) / model.C
    penalty[-1] = 0  # of the intercept
    hessian[np.diag_indices_from(hessian)] += np.tile(penalty, p.shape[1])
    # one shift of all intercepts changes nothing: H has no inverse there, and no gradient points there
    inverse = np.linalg.pinv(hessian, hermitian=True)
    residual, size = p - target, z.shape[1]
    out = np.zeros(len(z))
    for a in range(p.shape[1]):
        for b in range(p.shape[1]):
            block = inverse[a * size:(a + 1) * size, b * size:(b + 1) * size]
            out += residual[:, a] * residual[:, b] * np.einsum("ij,ij->i", z @ block, z)
    return out
