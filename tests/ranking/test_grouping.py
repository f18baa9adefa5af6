"""Groups of linked photos: what one photo, or a chain, must not join."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from src.ranking.grouping import LINKED_SHARE, grouped


def all_pairs(*members):
    return list(itertools.combinations(members, 2))


def test_what_is_linked_is_one_group_and_the_others_stay_alone():
    assert grouped(6, [(1, 4), (0, 5)], 100) == [[0, 5], [1, 4], [2], [3]]
    assert grouped(3, [], 100) == [[0], [1], [2]]
    assert grouped(0, [], 100) == []


@pytest.mark.parametrize("bridge", ["first", "last"])
def test_a_photo_that_shows_two_things_does_not_join_them(bridge):
    one, other = range(6), range(6, 12)
    both = [(member, 12) for member in (*one, *other)]
    own = [*all_pairs(*one), *all_pairs(*other)]
    groups = grouped(13, [*both, *own] if bridge == "first" else [*own, *both], 100)
    sides = [{member < 6 for member in group if member != 12} for group in groups]
    assert all(len(side) <= 1 for side in sides)
    assert sum(map(len, groups)) == 13


def test_a_false_link_between_two_groups_joins_nothing():
    own = [*all_pairs(0, 1, 2, 3), *all_pairs(4, 5, 6, 7)]
    assert grouped(8, [*own, (2, 5)], 100) == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_a_long_chain_of_neighbours_is_no_single_group():
    groups = grouped(40, [(n, n + 1) for n in range(39)], 100)
    assert max(map(len, groups)) < 20


def test_of_a_large_group_no_more_links_are_asked_for_than_a_member_can_have():
    """The last of 31 photos is linked to four of the others, where six links are the most."""
    links = [*all_pairs(*range(30)), *((member, 30) for member in range(4))]
    assert len(grouped(31, links, 6)) == 1
    assert len(grouped(31, links, 100)) == 2


def test_every_group_holds_together_whatever_the_links():
    rng = np.random.default_rng(5)
    for _ in range(20):
        pairs = [pair for pair in all_pairs(*range(12)) if rng.random() < 0.3]
        order = [pairs[at] for at in rng.permutation(len(pairs))]
        groups = grouped(12, order, 100)
        assert sorted(itertools.chain(*groups)) == list(range(12))
        assert grouped(12, order, 100) == groups
        for group in groups:
            inside = [pair for pair in pairs if set(pair) <= set(group)]
            # It grew by joins of enough links each; the last one alone needs so many.
            assert len(inside) >= len(group) - 1
            assert len(group) == 1 or len(inside) > LINKED_SHARE * (len(group) - 1)
