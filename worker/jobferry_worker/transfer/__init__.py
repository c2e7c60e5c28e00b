"""Bulk files of a run: brought before its jobs, fetched as they end, removed when all is back.

    stage(ledger, cluster, settings, run)      # run.staged, and its jobs may be submitted
    collect(ledger, cluster, settings, run)    # results of ended jobs; of a run that ended, results: delivered
    clean(ledger, cluster, settings, run)      # its directory on the cluster is gone; results: cleaned

Each may be repeated, and be cut short anywhere: what is done already is left alone. One of them at a time works on a
run, under a lease of its own. Nothing is removed before its results are on the producer's side.
"""

from jobferry_worker.transfer.end import clean
from jobferry_worker.transfer.from_cluster import collect
from jobferry_worker.transfer.to_cluster import stage

__all__ = ["clean", "collect", "stage"]
