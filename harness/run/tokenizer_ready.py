"""Have the tokenizer's files here before a script is started that uses them: its runs have no network."""

from harness.catalog.subjects import Subject
from harness.core.errors import DatasetError
from harness.dataset import hub, tokenizer_files
from harness.dataset.progress import Progress
from harness.launch import vocabulary
from harness.verdict.scan.tokenizer import find_tiktoken


def wanted_by(subject: Subject) -> str | None:
    """Return the place where a script uses tiktoken and needs what is not here, "train_gpt.py:12", else None.

    Ids of a synthetic text are none of GPT-2's. A run that may download is left to tiktoken itself.
    """
    if subject.track.data.source != "hub" or "downloads while running" in subject.ruleset.allowed:
        return None
    place = find_tiktoken(subject.contents)
    return None if place is None or vocabulary.find_vocabulary() else place


def fetch_for(subject: Subject, *, allow_network: bool = True, progress: Progress | None = None) -> bool:
    """Fetch the tokenizer's files where a script needs them and they are not here; tell whether they were fetched.

    Raises DatasetError where they may not be fetched, or cannot be had.
    """
    place = wanted_by(subject)
    if place is None:
        return False
    if not allow_network or hub.is_offline():
        what = "uses GPT-2's tokenizer, whose two files are not on this machine; a run has no network to load them by"
        raise DatasetError.at(
            f"{subject.name}/{place}", what, f"fetch them where there is one: speedrun fetch {subject.name}"
        )
    tokenizer_files.fetch(progress=progress)
    return True
