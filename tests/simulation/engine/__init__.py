"""A whole jobferry in one process and one thread of time: producers, workers, messages, a broker, clusters.

    seen = simulate(redis, seed=17)      # raises Breach, with a trace that a person can read

What is real: the ledger with its Lua scripts on a real Valkey, the passes, the moves of files. What is simulated:
clusters and their files, clocks, messages, and who runs when. One seed decides all of it.
"""
