"""Handing work over: one submission, or thousands in few round trips.

handles = submit_many(submissions)
failed = [answer for answer in handles if isinstance(answer, JobferryError)]
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from jobferry.client import default_client
from jobferry.handle import Handle
from jobferry.stack.secrets import Keeper
from jobferry_common.errors import BrokerUnreachable, JobferryError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jobferry.client import Client
    from jobferry.submission import Submission
    from jobferry_common.document import Document

#: submissions that are prepared and handed over together
_CHUNK = 1000


def submit_one(
    submission: Submission, *, client: Client | None = None, reuse: bool = True
) -> Handle:
    """Hand one submission over; raises what `Submission.submit` says."""
    known = None if client is None else client.settings.clusters
    keep = Keeper(None if client is None else client.settings)
    document = submission.prepare(clusters=known, keep=keep)
    return submit_document(document, client or default_client(), reuse=reuse)


def submit_document(document: Document, client: Client, *, reuse: bool = True) -> Handle:
    """Hand a document over; raises what `Submission.submit` says."""
    return Handle.on(client, client.accept(client.aim(document), reuse=reuse))


def submit_many(
    submissions: Iterable[Submission], *, client: Client | None = None, reuse: bool = True
) -> list[Handle | JobferryError]:
    """Hand many submissions over; an error stands in the place of a submission that is refused.

    Args:
        submissions: in any number; they are taken a thousand at a time.
        client: the way to the broker; None connects.
        reuse: as in `Submission.submit`.

    Raises:
        BrokerUnreachable: the broker does not answer. Handing all of them over again joins those that were
            accepted.
    """
    chosen = client or default_client()
    answers: list[Handle | JobferryError] = []
    for chunk in _chunks(submissions):
        prepared = [_prepared(chosen, submission) for submission in chunk]
        answers += _hand_over(chosen, prepared, reuse=reuse)
    return answers


def _chunks(submissions: Iterable[Submission]) -> Iterator[list[Submission]]:
    rest = iter(submissions)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk


def _prepared(client: Client, submission: Submission) -> Document | JobferryError:
    try:
        keep = Keeper(client.settings)
        document = client.aim(submission.prepare(clusters=client.settings.clusters, keep=keep))
    except BrokerUnreachable:
        raise
    except JobferryError as error:
        return error
    return document


def _hand_over(
    client: Client, prepared: list[Document | JobferryError], *, reuse: bool
) -> list[Handle | JobferryError]:
    documents = [item for item in prepared if not isinstance(item, JobferryError)]
    accepted = iter(client.accept_many(documents, reuse=reuse))
    answers: list[Handle | JobferryError] = []
    for item in prepared:
        answer = item if isinstance(item, JobferryError) else next(accepted)
        answers.append(answer if isinstance(answer, JobferryError) else Handle.on(client, answer))
    return answers
