"""Ranking: votes, geometry, expansion; one query, all queries, a pair of photos."""
