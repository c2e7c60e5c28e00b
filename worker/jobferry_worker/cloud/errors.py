"""What a cloud's refusal means. The message is in the service's words, with no secret in it.

CloudError
├── Refused        wrong for ever: the service will never do this
│   └── NotThere   it knows no such job or object
├── NotNow         a limit, a quota, a server that is busy or down: nothing was done
│   └── Denied     the credentials are wrong or have run out
└── NoAnswer       the request may or may not have been carried out
"""

from __future__ import annotations

from jobferry_common.errors import SchedulerError


class CloudError(SchedulerError):
    """A cloud did not do what it was asked for."""


class Refused(CloudError):  # noqa: N818
    """The service will never do this: a field is wrong, or something that was named does not exist."""


class NotThere(Refused):
    """The service knows nothing of that name."""


class NotNow(CloudError):  # noqa: N818
    """The service did not do it, and may do it later."""


class Denied(NotNow):
    """The service does not accept the credentials; somebody has to mend that."""


class NoAnswer(CloudError):  # noqa: N818
    """No answer came, or none that tells: what was asked for may have been done."""
