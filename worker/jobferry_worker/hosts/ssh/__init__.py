"""Hosts that are reached by ssh: one connection of each account, its shells, and what runs there."""

from jobferry_worker.hosts.ssh.host import SshHost

__all__ = ["SshHost"]
