"""SSH: a cluster that shares no file system with the worker; files go as one stream, and come back as one.

    Streamed(host, "/scratch/alice").stage(header, pages, layout)

Below its root the cluster keeps a cache of what was sent, known by content. It holds what a later run needs again, and
nothing in it is used before its checksum was compared:

    .jobferry/cache/objects/<size>/<sha256>     a content, mode 0444: common files are hard links to it
    .jobferry/cache/packs/<sha256>              small files of tasks, as one archive
    .jobferry/cache/slots/<key>                 which of these a group of files was made of
    .jobferry/cache/refs/<run>                  what a run uses
"""

from jobferry_worker.staging.streamed.streamed import Streamed

__all__ = ["Streamed"]
