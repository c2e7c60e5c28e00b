"""The reconcile loop: compare what the ledger wants with what a cluster shows, and take the next step.

    advance.py    one pass: lease, rounds of observe, plan and apply, what it leads to
    observe.py    asks ledger, spool, scheduler; the answer is one frozen `Snapshot`
    plan.py       pure: a `Snapshot` becomes actions; the rules stand in flight.py, ends.py, submits.py, room.py
    apply.py      carries actions out, each under the lease; submit.py is the one for a submit command
    readback.py   makes the ledger agree with the cluster after the broker forgot
    memory.py     what a worker keeps between passes: only rhythm and patience; to forget it costs time, never work
    health.py     failing passes: back off, pause with a reason, resume
    killpoints.py where tests may end a worker

Between any two effects the worker may be killed; the next pass, of any worker, goes on from what it then sees.
"""
