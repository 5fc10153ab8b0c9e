"""The SQLite file: its one connection, its migrations, and reading it from outside."""
