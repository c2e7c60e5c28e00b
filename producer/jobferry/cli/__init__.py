"""The command `jobferry`: one module for each group of commands, assembled in `main`."""
