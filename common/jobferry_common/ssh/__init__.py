"""Accounts behind ssh: how they are found, trusted and logged in to; for clusters and for a depot on such a server."""
