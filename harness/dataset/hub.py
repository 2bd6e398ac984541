"""Ask the Hugging Face hub about the files of a dataset. The only module that imports huggingface_hub.

The library gives names, revisions, hashes, redirects, mirrors (HF_ENDPOINT), credentials and its error classes;
telemetry is off. The bytes are fetched by `transfer`, because the library (2.4) checks sizes only and starts from zero
in a new process. The library is imported inside functions: it costs 200 ms, and most verbs never need it.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from harness.core.errors import DatasetError
from harness.dataset.retry import TransientFault, rate_limit_s, retry_after_s

Kind = Literal["dataset", "model"]
_SHA256 = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_METADATA_TIMEOUT_S = 20.0
_CLIENT = ("speedrun-harness", "1")  # our name and version in requests


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file as the hub describes it, and where its bytes are."""

    name: str
    bytes: int
    sha256: str
    commit: str | None  # None where a mirror does not say
    url: str  # the hub itself or a storage host
    on_hub: bool  # whether `url` is the hub itself
    headers: dict[str, str] = field(repr=False)  # for `url`; hold the token only where that is the hub itself


@dataclass(frozen=True, slots=True)
class ListedFile:
    """One file of a revision, from the hub's listing."""

    name: str
    bytes: int
    sha256: str | None  # None for a small file that git itself keeps


def is_offline() -> bool:
    """Return whether the user has told the hub library to make no request (HF_HUB_OFFLINE)."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


def endpoint() -> str | None:
    """Return the mirror that the user set with HF_ENDPOINT, if any."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or None


def describe(
    repository: str,
    revision: str | None,
    name: str,
    *,
    kind: Kind = "dataset",
    pinned: str | None = None,
) -> RemoteFile:
    """Ask the hub about one file of a repository; one HEAD request.

    revision: a commit, branch or tag; None means the main branch. pinned: a sha256 that is known from elsewhere and
    stands in where the hub gives none, as of small files, which git itself keeps. Raises DatasetError for what a retry
    does not cure (unknown repository, revision or file, access refused, no hash) and TransientFault for what it may.
    """
    _load()
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    where = f"{repository}/{name}"
    with _explained(where, repository, revision):
        url = hf_hub_url(repository, name, repo_type=kind, revision=revision, endpoint=endpoint())
        about = get_hf_file_metadata(
            url,
            timeout=_METADATA_TIMEOUT_S,
            library_name=_CLIENT[0],
            library_version=_CLIENT[1],
            endpoint=endpoint(),
        )
        headers = dict(build_hf_headers(library_name=_CLIENT[0], library_version=_CLIENT[1]))
    if about.size is None:
        raise DatasetError.at(
            where, "the hub does not say how long it is", "try without HF_ENDPOINT, or with another mirror"
        )
    sha256 = about.etag if about.etag and _SHA256.fullmatch(about.etag) else pinned
    if sha256 is None:
        sha256 = _listed_sha256(repository, about.commit_hash or revision, name, kind)
    on_hub = same_origin(url, about.location)
    if not on_hub:
        headers.pop("authorization", None)
    if urlsplit(about.location).scheme not in ("http", "https"):
        raise DatasetError.at(where, "the hub gives an address that is not http or https", "try without HF_ENDPOINT")
    commit = about.commit_hash if about.commit_hash and _COMMIT.fullmatch(about.commit_hash) else None
    return RemoteFile(name, about.size, sha256, commit, about.location, on_hub, headers)


def list_files(repository: str, revision: str | None, kind: Kind = "dataset") -> tuple[ListedFile, ...]:
    """List the files at the top of a repository's revision; same errors as `describe`."""
    _load()
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    with _explained(repository, repository, revision):
        api = HfApi(endpoint=endpoint(), library_name=_CLIENT[0], library_version=_CLIENT[1])
        tree = list(api.list_repo_tree(repository, repo_type=kind, revision=revision))
    return tuple(
        ListedFile(item.path, item.size, item.lfs.sha256 if item.lfs else None)
        for item in tree
        if isinstance(item, RepoFile)
    )


def same_origin(one: str, other: str) -> bool:
    """Return whether two URLs have the same scheme, host and port, so that a token may be sent to both."""
    return _origin(one) == _origin(other)


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _load() -> None:
    """Prepare the library's environment, which it reads once, when it is imported."""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["HF_HUB_DISABLE_UPDATE_CHECK"] = "1"


def _listed_sha256(repository: str, revision: str | None, name: str, kind: Kind) -> str:
    """Return the sha256 from the listing, for mirrors that send another kind of ETag."""
    for item in list_files(repository, revision, kind):
        if item.name == name and item.sha256:
            return item.sha256
    raise DatasetError.at(
        f"{repository}/{name}", "the hub gives no sha256 for it", "it cannot be verified; try without HF_ENDPOINT"
    )


@contextmanager
def _explained(where: str, repository: str, revision: str | None) -> Iterator[None]:
    """Turn the library's exceptions into one sentence each, or into a transient fault."""
    from huggingface_hub import errors

    # The library changed its HTTP client in 1.0 and again in 2.x; the root of the client's own exceptions is the
    # one HTTPError among the bases of the library's error.
    transport: type[Exception] = next(base for base in errors.HfHubHTTPError.__mro__ if base.__name__ == "HTTPError")
    try:
        yield
    except errors.OfflineModeIsEnabled:
        raise DatasetError.at(where, "HF_HUB_OFFLINE forbids requests", "unset it to fetch") from None
    except errors.HfHubHTTPError as error:
        raise _answer(error, where, repository, revision) from None
    except errors.HFValidationError as error:
        raise DatasetError.at(
            where, f"the hub library refuses the name ({error})", "correct the track's file"
        ) from None
    except transport as error:
        raise unreachable(endpoint() or "the hub", error) from None


def unreachable(host: str, error: BaseException) -> TransientFault:
    """Return the fault of a connection that failed or broke."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return TransientFault(
        f"{host} cannot be reached ({reason[:120]})",
        "check the network, or set a mirror with HF_ENDPOINT; what was downloaded is kept",
        connection=True,
    )


def _answer(error: Any, where: str, repository: str, revision: str | None) -> DatasetError | TransientFault:
    from huggingface_hub import errors

    status = int(error.response.status_code)
    if isinstance(error, errors.GatedRepoError) or status == 403:
        return refused(where, status)
    if isinstance(error, errors.RevisionNotFoundError):
        return DatasetError.at(
            where, f"{repository} has no revision {revision or 'main'}", "correct `revision` in the track's file"
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return DatasetError.at(
            where,
            f"the hub has no dataset {repository}, or you may not see it (HTTP {status})",
            "correct `repository` in the track's file, or log in with `hf auth login` or HF_TOKEN",
        )
    if isinstance(error, errors.EntryNotFoundError) or status == 404:
        return DatasetError.at(
            where, f"there is no such file at revision {revision or 'main'}", "correct the names in the track's file"
        )
    if status == 401:
        return refused(where, status)
    return answer_of(where, status, dict(error.response.headers))


def refused(where: str, status: int) -> DatasetError:
    """Return the error of an access that needs other credentials."""
    return DatasetError.at(
        where,
        f"the hub refuses access (HTTP {status})",
        "log in with `hf auth login` or set HF_TOKEN, and accept the dataset's terms on its page",
    )


def answer_of(where: str, status: int, headers: dict[str, str]) -> DatasetError | TransientFault:
    """Return the fault of an HTTP status other than success or 404: one to wait for (429, 5xx, 408), else final."""
    if status == 429:
        return TransientFault(
            "rate-limited (HTTP 429)",
            "wait some minutes and start again; what was downloaded is kept",
            wait_s=retry_after_s(headers) or rate_limit_s(headers),
            everyone=True,
        )
    if status >= 500 or status == 408:
        return TransientFault(
            f"the hub has a fault (HTTP {status})",
            "start again later; what was downloaded is kept",
            wait_s=retry_after_s(headers),
        )
    return DatasetError.at(where, f"the hub answers HTTP {status}", "check HF_ENDPOINT and the track's file")
