"""What users write: machine, resources, task, submission; and the profile of a cluster.

    submission = Submission.load_from_json("submission.json")

Files of DPDispatcher load unchanged. All models are frozen and refuse keys that they do not know; every fault of an
input is reported in one `BadInput`. Keys of an object that begin with `_` are comments (not in `resources.envs`,
where they are variables).
"""
