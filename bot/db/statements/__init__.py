"""Statements and row mappings that several repositories share.

Every function takes the open `sqlite3.Connection` of a transaction and neither begins nor commits one.
"""
