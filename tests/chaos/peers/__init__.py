"""The same work, and the same count, on others: who drives it is killed and begun again.

python -m tests.chaos.peers --jobs 500 --kills 20 --seed 7

drive.py           kills a process at random moments and begins it again, until it ends by itself
dpd.py             DPDispatcher 1.1.0 on Slurm: its driving process is killed, and run again
celery_tasks.py    plain Celery tasks on Valkey: the workers are killed, and started again
ours.py            jobferry on Slurm: its worker is killed, and started again
"""
