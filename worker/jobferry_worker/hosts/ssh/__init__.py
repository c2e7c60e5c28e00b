"""Hosts that are reached by ssh: how they are found and trusted, how a user logs in, what runs there."""

from jobferry_worker.hosts.ssh.host import SshHost

__all__ = ["SshHost"]
