"""Real kills: producers, workers, beat, broker, ssh and Slurm, killed at random and at named points, then the count.

python -m tests.chaos --minutes 25 --seed 7 --jobs 20000

batches.py    what is submitted, drawn from the seed
task.py       what a task does, and what a task has to leave
producer.py   the process that submits, waits, fetches, and is killed and begun again
nursery.py    starts these processes quickly: they are forked from one that has imported everything
kin.py        the processes of one kind that have to live: who ends is begun again
agenda.py     which named point comes next
world.py      broker, Slurm, sshd, a small disk, and the settings
faults.py     the random kills and outages
checker.py    what the tasks' own log, the results and the ledger tell
storm.py      the whole of a run
report.py     its outcome in words and as JSON
peers/        the same work on DPDispatcher and on plain Celery tasks
"""
