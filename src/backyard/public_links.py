"""Links by which anybody sees one task, given away by the yard."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta

from backyard.core.errors import InvalidInputError
from backyard.core.public_link import KEY_LENGTH, PublicLink, read, sign
from backyard.ledger.call import Call
from backyard.ledger.ledger import Ledger

#: Seconds that a link is good for, where nobody says otherwise, and at most.
USUAL = 7 * 86_400
LONGEST = 366 * 86_400


class PublicLinks:
    """The part of a yard that lets end users see their task without a login.

    A link is signed with a key that is kept in the ledger and shared by all processes of the yard.
    """

    @property
    def ledger(self) -> Ledger:
        """The live truth."""
        raise NotImplementedError

    async def public_link(
        self, task_id: str, *, expires: float = USUAL, artifacts: bool = True, result: bool = False
    ) -> str:
        """Return the path of a page that shows one task to whoever has it: ``/t/...``.

        Args:
            task_id: The task's id.
            expires: Seconds that the link is good for; a year at most.
            artifacts: Whether what the task saved may be downloaded there.
            result: Whether its result is shown there.

        Raises:
            InvalidInputError: The time cannot work.
            LedgerUnavailableError: The server is away.
        """
        link = _link(task_id, expires, artifacts=artifacts, result=result)
        return f"/t/{sign(link, await self.ledger.arun(self._key()))}"

    def public_link_sync(
        self, task_id: str, *, expires: float = USUAL, artifacts: bool = True, result: bool = False
    ) -> str:
        """Return such a path outside of an event loop; arguments and errors as for :meth:`public_link`."""
        return f"/t/{sign(_link(task_id, expires, artifacts=artifacts, result=result), self.ledger.run(self._key()))}"

    async def open_link(self, token: str) -> PublicLink:
        """Return what a link lets see.

        Args:
            token: The last part of its path.

        Raises:
            UnknownLinkError: This yard did not sign it.
            ExpiredLinkError: Its time is over.
            LedgerUnavailableError: The server is away.
        """
        return read(token, await self.ledger.arun(self._key()), datetime.now(UTC))

    def _key(self) -> Call[bytes]:
        return self.ledger.calls.link_key(secrets.token_bytes(KEY_LENGTH))


def _link(task_id: str, expires: float, *, artifacts: bool, result: bool) -> PublicLink:
    if not 1 <= expires <= LONGEST:
        raise InvalidInputError(f"A link cannot be good for {expires:g} s. Give 1 to {LONGEST:,} seconds.")
    return PublicLink(task_id, datetime.now(UTC) + timedelta(seconds=expires), artifacts, result)
