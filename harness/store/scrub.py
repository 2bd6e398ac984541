"""Remove from the bytes of a log what names a person or a machine.

One function for the whole harness: the ledger hashes a log after it, so that packing a log later breaks nothing.
Replaced are access tokens, this user's home folder and name where they are part of a path, the host name, and
addresses. Figures stay: a version like 535.129.03 has three parts and is no address. The same input gives the same
output on the same machine; the source of the script is never touched, because its hash is its identity.
"""

import getpass
import hashlib
import os
import re
import socket
from dataclasses import dataclass

_TOKENS = re.compile(
    rb"\b(?:hf_[A-Za-z0-9]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|sk-[A-Za-z0-9_-]{20,}|AKIA[0-9A-Z]{16}"
    rb"|xox[abprs]-[A-Za-z0-9-]{10,})"
)
_KEYS = re.compile(rb"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----")
_HOMES = re.compile(rb"(?<![\w.-])/(?:home|Users)/[^/\s:\"']+")
_IPV4 = re.compile(rb"(?<![\d.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\d.])")
_IPV6 = re.compile(rb"(?<![\w:])(?:[0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}(?![\w:])")
# Bounded, and only from the start of a word: a line of a million letters must not cost a million searches.
_MAIL = re.compile(rb"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}\.[\w.-]{0,190}\w")

MOST_FOUND = 20


@dataclass(frozen=True, slots=True)
class Names:
    """What this machine and user are called; found once."""

    home: str
    user: str
    host: str


def own_names() -> Names:
    """Find the names to hide on this machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = ""
    return Names(os.path.expanduser("~"), user, socket.gethostname())


def find_private(text: bytes) -> list[tuple[int, str]]:
    """Find the lines (1-based) of a file that would publish an access token, a private key or somebody's home folder."""
    found = []
    for pattern, what in ((_TOKENS, "an access token"), (_KEYS, "a private key"), (_HOMES, "somebody's home folder")):
        for match in pattern.finditer(text):
            found.append((text.count(b"\n", 0, match.start()) + 1, what))
            if len(found) >= MOST_FOUND:
                return found
    return sorted(found)


def scrub(text: bytes, names: Names) -> bytes:
    """Hide tokens, homes, user, host and addresses in `text`; everything else stays byte for byte."""
    text = _TOKENS.sub(b"[token]", text)
    if len(names.home) > 1:
        text = text.replace(names.home.encode(), b"[home]")
    text = _HOMES.sub(b"[home]", text)
    if len(names.user) > 2 and names.user != "root":
        text = re.sub(rb"(?<=/)" + re.escape(names.user.encode()) + rb"(?=[/\s]|$)", b"[user]", text)
    # A host called "localhost" or "gpu" is a common word and hides nothing.
    if len(names.host) > 4 and names.host != "localhost":
        text = re.sub(rb"(?<![\w-])" + re.escape(names.host.encode()) + rb"(?![\w-])", b"[host]", text)
    text = _MAIL.sub(b"[mail]", text)
    return _IPV6.sub(b"[address]", _IPV4.sub(b"[address]", text))


def scrub_log(log: bytes, script: bytes, names: Names) -> bytes:
    """Scrub a run's log but leave the script's own source in it as it is.

    script: the bytes of the frozen script, which an honest log starts with.
    """
    cut = len(script) if script and log.startswith(script) else 0
    return log[:cut] + scrub(log[cut:], names)


def scrubbed_sha256(log: bytes, script: bytes) -> str:
    """Hash a run's log as the ledger does, scrubbed of this machine's names."""
    return hashlib.sha256(scrub_log(log, script, own_names())).hexdigest()
