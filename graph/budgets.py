"""Budgets of concepts: a number of samples handed down a tree, each child up to what it can supply.

    b(root)  = min(B, S(root))
    b(child) = min(S(child), theta * w(child)),  theta such that the children's budgets sum to b(parent)
    w(child) = natural(child)^(1 - a) * prior(child)^a

    B        budget of the whole tree, in occurrences (a sample with three tags occurs three times)
    S(v)     supply of the subtree of v: occurrences of v and of everything below it
    natural  the supply itself
    prior    wanted share of the subtree of v: the sum of its concepts' priors, or equal for all children
    a        temperature, 0 (natural: every concept is thinned alike) to 1 (the prior, uniform by default)

This is water-filling (Vo et al., "Automatic Data Curation for Self-Supervised Learning", 2024, with equal w;
theta is their cut): what a child cannot supply goes to its siblings first. A node with occurrences of its
own has itself as one more child. theta rises with b(parent), so no concept's budget falls as B grows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np


@dataclass(frozen=True)
class Tree:
    """A forest over concepts 0..m-1.

    Attributes:
        parent: int64 [m], -1 for roots. Acyclic.
        order: int64 [m], parents before their children.
    """

    parent: np.ndarray
    order: np.ndarray

    @classmethod
    def of(cls, parent: np.ndarray) -> Tree:
        """A tree from parents. Raises ValueError for a parent out of range or a cycle."""
        parent = np.asarray(parent, np.int64)
        if parent.size and (parent.min() < -1 or parent.max() >= len(parent)):
            raise ValueError(f"parents must lie in -1..{len(parent) - 1}")
        order, reached = _order(parent)
        if reached < len(parent):
            raise ValueError(f"{len(parent) - reached} concepts lie on a cycle of parents or below one")
        return cls(parent, order)

    @classmethod
    def flat(cls, m: int) -> Tree:
        """m concepts without parents."""
        return cls(np.full(m, -1, np.int64), np.arange(m))

    def sums(self, values: np.ndarray) -> np.ndarray:
        """float64 [m]: sum of `values` over the subtree of every concept."""
        total = np.asarray(values, np.float64).copy()
        _add_up(self.parent, self.order, total)
        return total


@dataclass(frozen=True)
class BudgetRule:
    """How budgets are divided.

    Attributes:
        tree: over the m concepts.
        prior: float64 [m] >= 0, the wanted share of each concept; None: equal among siblings.
        temperature: 0..1, the a above.
    """

    tree: Tree
    prior: np.ndarray | None = None
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= 1:
            raise ValueError(f"temperature must lie in 0..1 (natural to prior), got {self.temperature}")
        if self.prior is not None:
            prior = np.asarray(self.prior, np.float64)
            if prior.shape != self.tree.parent.shape or not np.isfinite(prior).all() or (prior < 0).any():
                raise ValueError("prior must hold one finite number >= 0 for each concept of the tree")

    def budgets(self, supply: np.ndarray, total: float) -> np.ndarray:
        """float64 [m]: each concept's own budget, in occurrences; 0 <= budget <= supply.

        They sum to min(total, supply of concepts whose prior is positive).

        Args:
            supply: [m] occurrences of each concept itself, >= 0.
        """
        supply = np.asarray(supply, np.float64)
        if supply.shape != self.tree.parent.shape or (supply.size and supply.min() < 0):
            raise ValueError("supply must hold one number >= 0 for each concept of the tree")
        own, below = self._weights(supply)
        # what has no weight takes no part, so that it cannot hold back water
        own_cap = np.where(own > 0, supply, 0.0)
        return _fill(self.tree.parent, self.tree.order, own_cap, own, below, max(0.0, float(total)))

    def asked(self, supply: np.ndarray, total: float) -> np.ndarray:
        """float64 [m]: `budgets` if no concept ran short."""
        own, below = self._weights(np.asarray(supply, np.float64))
        endless = np.where(own > 0, 1e18, 0.0)
        return _fill(self.tree.parent, self.tree.order, endless, own, below, max(0.0, float(total)))

    def _weights(self, supply: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(w of each concept itself, w of its subtree), natural and prior mixed."""
        a = self.temperature
        if self.prior is None:
            own_prior = below_prior = np.ones(len(supply))
        else:
            own_prior = np.asarray(self.prior, np.float64)
            # a void has nothing to give, and its share goes to its siblings' subtrees
            below_prior = self.tree.sums(np.where(supply > 0, own_prior, 0.0))
        natural = self.tree.sums(supply)
        own = np.where(supply > 0, supply ** (1 - a) * own_prior**a, 0.0)
        below = np.where(natural > 0, natural ** (1 - a) * below_prior**a, 0.0)
        return own, below


def shares_of(rule: BudgetRule, concepts: np.ndarray) -> np.ndarray:
    """float64 [m], sums to 1: what the tree would give each concept if none ran short.

    Args:
        concepts: bool [m], which take part (e.g. those with any data); at least one with a positive prior.
    """
    endless = np.where(concepts, 1e300 / max(1, int(np.sum(concepts))), 0.0)
    flat = BudgetRule(rule.tree, rule.prior, 1.0)
    share = flat.budgets(endless, 1.0)
    return share / max(share.sum(), 1e-300)


@numba.njit(nogil=True, cache=True)
def _order(parent):
    m = len(parent)
    first, indices = _children(parent)
    order = np.empty(m, np.int64)
    reached = 0
    for v in range(m):
        if parent[v] < 0:
            order[reached] = v
            reached += 1
    at = 0
    while at < reached:
        v = order[at]
        for k in range(first[v], first[v + 1]):
            order[reached] = indices[k]
            reached += 1
        at += 1
    return order, reached


@numba.njit(nogil=True, cache=True)
def _children(parent):
    """CSR of children, ascending."""
    m = len(parent)
    first = np.zeros(m + 1, np.int64)
    for v in range(m):
        if parent[v] >= 0:
            first[parent[v] + 1] += 1
    for v in range(m):
        first[v + 1] += first[v]
    at = first[:-1].copy()
    indices = np.empty(first[m], np.int64)
    for v in range(m):
        p = parent[v]
        if p >= 0:
            indices[at[p]] = v
            at[p] += 1
    return first, indices


@numba.njit(nogil=True, cache=True)
def _add_up(parent, order, total):
    for k in range(len(order) - 1, -1, -1):
        v = order[k]
        if parent[v] >= 0:
            total[parent[v]] += total[v]


@numba.njit(nogil=True, cache=True)
def _level(cap, weight, budget):
    """theta with sum(min(cap, theta * weight)) = budget; infinite where all caps together are no more."""
    ratio = np.empty(len(cap))
    left = 0.0
    for j in range(len(cap)):
        ratio[j] = cap[j] / weight[j] if weight[j] > 0 else np.inf
        if weight[j] > 0:
            left += weight[j]
    given = 0.0
    for j in np.argsort(ratio):
        if weight[j] <= 0:
            break
        if given + ratio[j] * left >= budget:
            return (budget - given) / left
        given += cap[j]
        left -= weight[j]
        if left <= 0:
            break
    return np.inf


@numba.njit(nogil=True, cache=True)
def _fill(parent, order, own_cap, own, below, total):
    m = len(parent)
    cap = own_cap.copy()
    _add_up(parent, order, cap)
    first, indices = _children(parent)
    result = np.zeros(m)
    whole = np.zeros(m)
    roots = np.empty(m, np.int64)
    n_roots = 0
    for v in range(m):
        if parent[v] < 0:
            roots[n_roots] = v
            n_roots += 1
    roots = roots[:n_roots]
    theta = _level(cap[roots], below[roots], total)
    for v in roots:
        whole[v] = min(cap[v], theta * below[v]) if below[v] > 0 else 0.0
    for k in range(m):
        v = order[k]
        children = indices[first[v] : first[v + 1]]
        caps = np.empty(len(children) + 1)
        weights = np.empty(len(children) + 1)
        caps[:-1] = cap[children]
        weights[:-1] = below[children]
        caps[-1] = own_cap[v]
        weights[-1] = own[v]
        theta = _level(caps, weights, whole[v])
        result[v] = min(own_cap[v], theta * own[v]) if own[v] > 0 else 0.0
        for c in children:
            whole[c] = min(cap[c], theta * below[c]) if below[c] > 0 else 0.0
    return result
