"""A rendered world of landmarks, for the quickstart and the tests."""
