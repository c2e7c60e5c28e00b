"""Hosts: where commands run and files go."""

from jobferry_worker.hosts.base import Host
from jobferry_worker.hosts.local import LocalHost

__all__ = ["Host", "LocalHost"]
