"""Clouds that take jobs over HTTP: Bohrium with an account or a ticket, and its OpenAPI with an access key.

`http.py` sends, `answers.py` tells an error for ever from one for now and from silence, `api.py` repeats what may be
repeated; `bohrium.py`, `openapi.py` know the two services, `oss.py` and `tiefblue.py` their stores of objects.
"""
