r"""The ledger: all state of jobferry, in Redis. Messages are hints; this is the truth.

    ledger = Ledger(connect(settings.broker))
    accepted = ledger.accept(document)
    ledger.run(accepted.run).counts

Every key begins with a prefix (`jobferry:`). `<run>` is a run's id, `<cluster>` a cluster's name. Times are Unix
seconds. Each change of more than one key is one Lua script (`lua/*.lua`), so it happens wholly or not at all.

| key | type | meaning |
|---|---|---|
| `version` | string | of all of this, see `versions.py`; a newer one is refused and left untouched |
| `id` | string | the ledger's own id: it names the spool on the clusters |
| `submissions` | hash | submission → number of its last run; stays when runs are cleaned, so that no token returns |
| `removed` | sorted set | submissions of which a run was removed, by time: their numbers are kept for 90 days |
| `destinations` | hash | digest of submission, owner and directory → its last run: what is attached to, and resumed |
| `directories` | hash | digest of a real directory → the run that has it until it ended and its results are back |
| `runs`, `names` | sorted set | every run by time of acceptance; the same by name, for prefixes |
| `open` | sorted set | every run that has not ended, by time |
| `turn` | string | counter that orders who is served next |
| `renamed:<run>` | string | what a run is called since its number was found to belong to a lost one; expires |
| `run:<run>` | hash | the run: state, results, owner, cluster, counters `n:<state>`, `fresh`, … |
| `run:<run>:pages` | hash | `header` and pages 0, 1, … of 1,000 tasks each, as compressed JSON |
| `run:<run>:jobs` | hash | job → its record. A job without one is pending, attempt 1, and due |
| `run:<run>:due` | sorted set | pending jobs that have a record, and that nobody claimed, by the time they are due |
| `run:<run>:collect` | set | jobs that ended and whose results are still on the cluster |
| `run:<run>:claims:<cluster>` | sorted set | of a run that clusters share: claimed jobs without their files, by time |
| `run:<run>:due:<cluster>` | sorted set | claimed jobs whose files are there, by the time they are due |
| `run:<run>:collect:<cluster>` | set | `run:<run>:collect`, where clusters share the run |
| `run:<run>:at` | hash | `<cluster> <state>` → number of its jobs there; pending: claimed |
| `run:<run>:read` | hash | cluster → the broker's run id when it last said what it has of a shared run |
| `run:<run>:common` | hash | of a shared run: digest of a common result's path → cluster that brought it, digest |
| `run:<run>:refused` | hash | cluster that will never take jobs of a shared run → why |
| `run:<run>:places` | hash | cluster that has had jobs of it → remote, depot, delivered, cleaned, given up |
| `run:<run>:findings` | hash | job → its failed tasks `[[task,code,missing…],…]`; `lack` → a result that did not come |
| `run:<run>:done` | hash | job that did not finish → its tasks that did, and whose results are back; a bitmap |
| `run:<run>:taken` | hash | job → its tasks that an earlier run did, where not all of them; a bitmap |
| `run:<run>:depot` | hash | `via`, `inputs`, `wanted`; `part:<n>`, `by:<n>` (its cluster), `parts`, `fetched`: depot |
| | | and of one of several clusters `via:<cluster>`, `parts:…`, `lost:…`, `losses:…` |
| `run:<run>:events` | stream | events of the run; field `j` packs many jobs, `r` is the run itself |
| `content:<nonce>:…` | as above | what an `accept` brings; it becomes the run's by renaming, or expires |
| `open:<cluster>` | sorted set | its runs that have not ended |
| `any` | set | open runs that any cluster may join |
| `claimed:<cluster>` | set | runs of which it has claimed jobs that it has not submitted |
| `judge:<cluster>` | set | open runs in which a job failed or was cancelled, or in which nothing is left to do |
| `strays:<cluster>` | hash | run that was given up there → tokens that its scheduler may still have |
| `cancel:<cluster>` | set | open runs that somebody wants cancelled |
| `doubted:<cluster>` | hash | open run of which the broker may have forgotten steps → `read` back, or `unread` |
| `collect:<cluster>` | set | runs that have something in `run:<run>:collect` |
| `owners:<cluster>` | sorted set | owners with due work, least recently served first |
| `ready:<cluster>:<owner>` | sorted set | their runs with due work, in the same order |
| `later:<cluster>` | sorted set | runs whose next work is due at that time |
| `waiting` | hash | cluster → number of pending jobs that may go there |
| `flight:<cluster>` | set | `<run>/<job>` of each job that its scheduler has or may have |
| `tokens:<cluster>` | hash | token → `run\|fence\|single\|job.attempt,…`: the frozen list of one submit command |
| `left:<cluster>` | hash | token → how many of its jobs are still in flight; at 0 the token is forgotten |
| `aside` | hash | what was set aside because it makes workers fail: a run, or a message → where, why, when |
| `blamed:<run>` | string | how often in a row a run made a pass fail; expires |
| `clusters` | set | names of the clusters that were announced |
| `cluster:<cluster>` | hash | what its worker says of it |
| `profile:<cluster>` | string | profile of an inline machine; goes with its last run |
| `inline:<cluster>` | set | the runs that need this profile |
| `accounts` | hash | `cluster/<cluster>` → the broker's id when read back; `root of …`, `scheduler of …`, `recover …` |
| `lease:<name>` | hash | holder, number, broker; expires by itself. `cluster/<cluster>`: the right to act there |
| `fences` | string | counter of leases; only grows |
| `depot:<depot>:refs` | hash | digest → how many holders need the object |
| `depot:<depot>:held:<holder>` | set | digests that a holder needs: inputs, or a part of the results |
| `depot:<depot>:holders` | hash | holder → its run; empty while no run took it up |
| `depot:<depot>:offers` | sorted set | holders without a run, by the time they are void |
| `depot:<depot>:garbage` | set | objects that nobody needs |
| `depot:<depot>:removing` | sorted set | objects that somebody removes at this moment, since when |
| `depot:met` | set | `<host> <depot> <address>`: that machine found the depot there |
| `depot:sees` | set | `<cluster> <place>`: its worker saw files of that place |
| `depot:id`, `depot:data:…`, `depot:bytes`, … | – | the broker as a depot, see `depot/in_broker.py` |
| `events` | stream | events of runs and clusters, the last 10,000 or so |
| `settled` | string | written to wait for the disk, see `durability.py` |

**The broker can forget.** A fence is (run id of the server's process, number). The scripts ask the server
for its run id within the same atomic step (`INFO server`), so a restarted or promoted server, which may lack
its last second of writes, refuses each fence that was issued before, whatever its client remembers. Who gets
a new lease compares `Fence.broker` with `remembered(account)` and reads the account back where they differ.

**A repeated call is harmless.** When a connection breaks, the client cannot know whether its call was carried
out, and sends it again. `accept` carries a nonce and `reserve` its fence, by which they know their own work;
a `change` to what already stands answers True and writes nothing.
"""

from jobferry_common.ledger.ledger import Ledger

__all__ = ["Ledger"]
