"""Constraints as masks on letters and elements, for sampling and for scoring.

The sampler asks for the next letter or element, ``log_prob`` for the letters and elements of all
sites at once; both use the same two functions.

A required element is missing until a site has it. A letter is allowed only if enough sites can
follow for the missing elements, and a pad only if none is missing. When the remaining sites are as
many as the missing elements, each must take one of them. Every started crystal can therefore be
completed, and no sample is rejected.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from crystalformer_rl.model.constraints import (
    Constraints,
    following_sites,
    primitive_multiplicities,
)
from crystalformer_rl.model.transformer import ELEMENTS, GROUPS, LETTERS


class Masks:
    """The constraints on crystals of some space groups, as tensors.

    Raises
    ------
    ValueError
        If the constraints are for another number of sites, or cannot be met in a space group.
    """

    def __init__(
        self,
        constraints: Constraints,
        space_groups: NDArray[np.int64],
        *,
        max_sites: int,
        device: torch.device,
    ) -> None:
        if constraints.max_sites != max_sites:
            raise ValueError(
                f"the constraints are for {constraints.max_sites} sites, the model has {max_sites}"
            )
        groups = np.unique(space_groups).tolist()
        constraints.check(groups)
        self._allowed_elements = torch.tensor(constraints.elements, device=device)
        self._required = torch.tensor(constraints.required, dtype=torch.long, device=device)
        letters = constraints.letters
        sites = max_sites if letters is None else len(letters)
        self._sites_left = (sites - 1 - torch.arange(max_sites, device=device)).clamp_min(0)
        self._template = None
        if letters is not None:
            template = functional.pad(torch.tensor(letters), (0, max_sites - sites))
            self._template = functional.one_hot(template, LETTERS).bool().to(device)
        self._max_atoms = constraints.max_atoms
        self._by_history = bool(constraints.required) or constraints.max_atoms is not None
        self._atoms = torch.zeros(GROUPS + 1, LETTERS, dtype=torch.long, device=device)
        if self._max_atoms is not None:
            self._atoms = torch.tensor(primitive_multiplicities(), device=device)
        if self._max_atoms is not None and constraints.required:
            tables = [following_sites(group, self._max_atoms, max_sites) for group in groups]
            self._following_sites = torch.tensor(np.stack(tables), device=device)
            row = torch.zeros(GROUPS + 1, dtype=torch.long)
            row[groups] = torch.arange(len(groups))
            self._row = row.to(device)

    def next_letter(
        self, allowed: Tensor, group: Tensor, letter: Tensor, element: Tensor
    ) -> Tensor:
        """Letters ``(B, 28)`` that are allowed next.

        Parameters
        ----------
        allowed
            ``(B, 28)`` by the rules of the space group.
        group
            ``(B,)``.
        letter, element
            ``(B, n)`` of the n sites so far.
        """
        site = letter.shape[1]
        if not self._by_history:
            return self._of_template(site, allowed)
        atoms, missing = self._atoms_before(group, letter), self._missing_before(element)
        return self._letters(site, allowed, group, atoms[:, -1], missing[:, -1])

    def next_element(self, group: Tensor, letter: Tensor, element: Tensor) -> Tensor:
        """Elements, ``(B, 119)`` or ``(119,)``, that are allowed on the site of the last letter.

        ``letter`` is ``(B, n + 1)``, ``element`` ``(B, n)``.
        """
        site = element.shape[1]
        if not self._by_history:
            return self._allowed_elements[site]
        atoms, missing = self._atoms_before(group, letter), self._missing_before(element)
        return self._elements(site, group, letter[:, -1], atoms[:, -1], missing[:, -1])

    def every_site(
        self, allowed: Tensor, group: Tensor, letter: Tensor, element: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Letters ``(B, n, 28)`` and elements ``(B, n, 119)`` that are allowed at each of n sites.

        If an earlier token violates a constraint, so that nothing could follow, the mask is not
        applied: the crystal's probability is 0 already.

        Parameters
        ----------
        allowed
            ``(B, n, 28)`` by the rules of the space group.
        group
            ``(B,)``.
        letter, element
            ``(B, n)``.
        """
        site = torch.arange(letter.shape[1], device=letter.device)
        atoms, missing = self._atoms_before(group, letter), self._missing_before(element)
        column = group[:, None]
        letters = self._letters(site, allowed, column, atoms[:, :-1], missing[:, :-1])
        if letters is not allowed:
            letters = torch.where(letters.any(-1, keepdim=True), letters, allowed)
        return letters, self._elements(site, column, letter, atoms[:, 1:], missing[:, :-1])

    def _letters(
        self, site: int | Tensor, allowed: Tensor, group: Tensor, atoms: Tensor, missing: Tensor
    ) -> Tensor:
        """Restrict ``allowed`` ``(..., 28)`` by ``atoms`` and ``missing`` before the site."""
        allowed = self._of_template(site, allowed)
        after = atoms[..., None] + self._atoms[group]
        if self._max_atoms is not None:
            allowed = allowed & (after <= self._max_atoms)
        if len(self._required):
            letter = torch.arange(LETTERS, device=allowed.device)
            following = self._following(
                self._sites_left[site][..., None], group[..., None], letter, after
            )
            need = missing.sum(-1, keepdim=True)
            allowed = allowed & torch.where(letter == 0, need == 0, need <= following + 1)
        return allowed

    def _of_template(self, site: int | Tensor, allowed: Tensor) -> Tensor:
        return allowed if self._template is None else allowed & self._template[site]

    def _elements(
        self, site: int | Tensor, group: Tensor, letter: Tensor, atoms: Tensor, missing: Tensor
    ) -> Tensor:
        """``(..., 119)``; ``atoms`` includes those of the site, ``missing`` is before it."""
        allowed = self._allowed_elements[site]
        if len(self._required):
            following = self._following(self._sites_left[site], group, letter, atoms)
            wanted = missing.new_zeros(*missing.shape[:-1], ELEMENTS)
            wanted[..., self._required] = missing
            allowed = allowed & (wanted | (following >= missing.sum(-1))[..., None])
        return allowed

    def _following(self, sites: Tensor, group: Tensor, letter: Tensor, atoms: Tensor) -> Tensor:
        """Maximum number of sites after ``letter`` and ``atoms`` so far; at most ``sites``."""
        if self._max_atoms is None:
            return sites
        left = (self._max_atoms - atoms).clamp(0, self._following_sites.shape[2] - 1)
        return torch.minimum(sites, self._following_sites[self._row[group], letter, left])

    def _atoms_before(self, group: Tensor, letter: Tensor) -> Tensor:
        """``(B, n + 1)``: atoms before each of n sites and after the last; 0 without a limit."""
        return functional.pad(self._atoms[group[:, None], letter].cumsum(1), (1, 0))

    def _missing_before(self, element: Tensor) -> Tensor:
        """``(B, n + 1, R)``: required elements missing before each site and after the last."""
        held = (element[..., None] == self._required).cumsum(1) > 0
        return ~functional.pad(held, (0, 0, 1, 0))
