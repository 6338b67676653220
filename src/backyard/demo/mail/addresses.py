"""Mail addresses, checked before anything is queued."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

LONGEST = 254
LONGEST_LOCAL_PART = 64
LOCAL_PART = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


def check_address(text: str) -> str:
    """Return an address as SMTP takes it, its domain in ASCII.

    The local part is a dot-atom of RFC 5322, at most 64 characters (RFC 5321, 4.5.3.1); quoted local parts and
    addresses in brackets are legal, used by hardly anyone, and refused. "root@localhost" is taken.

    Raises:
        ValueError: It is no address.
    """
    local, at, domain = text.strip().rpartition("@")
    if not at or not LOCAL_PART.fullmatch(local) or len(local) > LONGEST_LOCAL_PART:
        raise ValueError("not a mail address such as ada@example.com")
    try:
        ascii_domain = domain.encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise ValueError(f"'{domain[:80]}' is not a domain such as example.com") from None
    labels = ascii_domain.split(".")
    if not all(LABEL.fullmatch(label) for label in labels) or (len(labels) > 1 and labels[-1].isdigit()):
        raise ValueError(f"'{domain[:80]}' is not a domain such as example.com")
    address = f"{local}@{ascii_domain}"
    if len(address) > LONGEST:
        raise ValueError(f"longer than the {LONGEST} characters an address may have")
    return address


Address = Annotated[str, AfterValidator(check_address), Field(max_length=320, json_schema_extra={"format": "email"})]
