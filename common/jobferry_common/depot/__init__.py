"""The depot: files travel through it where producer and worker share no file system.

    depot = open_depot(settings.depot, ledger)
    digest = send(depot, "holder", pieces, directories)     # only what the depot lacks
    manifest = depot.manifest(digest)

Its objects are known by the SHA-256 of their content: manifests, large files, and packs of small files. They lie in a
store (a shared folder, the broker, any file system of fsspec); who needs which of them stands in the ledger, and
an object that nobody needs is removed.
"""
