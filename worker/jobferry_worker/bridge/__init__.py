"""Bridges to systems that share no directory with the worker: they carry a job's files there and its results back.

    base.py       what a bridge needs of the other side: `Storage` and `System`
    bridge.py     the bridge's commands: submit, list, cancel, forget, facts
    carrier.py    the steps of one job; books.py: what is written down between them
    packing.py    archives out and back; bootstrap.sh: what runs in the place of a job there
    host.py       the worker's machine with a bridge; making.py: which cluster has which
    yarn.py hdfs.py

To add a system: a `Storage` and a `System`, a line in `making.py`, and its header beside `schedulers/bridged.py`.
"""
