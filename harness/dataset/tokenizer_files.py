"""Have the two files of GPT-2's tokenizer on this machine, where every run is given them from.

They are those that the package tiktoken demands, by its own sha256; the hub has the same bytes under other names.
"""

from pathlib import Path

from harness.dataset.progress import Progress
from harness.dataset.single_files import HeldFile, HubFile, fetch_file
from harness.launch import vocabulary

_GPT2 = "openai-community/gpt2"
_NAMES = ("merges.txt", "vocab.json")  # on the hub, in the order of vocabulary.FILES: the merges, then the ids


def places() -> dict[str, Path]:
    """Return where each file lies, or would lie, by its name on the hub."""
    return dict(zip(_NAMES, (vocabulary.folder() / name for name in vocabulary.FILES), strict=True))


def fetch(*, allow_network: bool = True, progress: Progress | None = None) -> tuple[HeldFile, HeldFile]:
    """Have the merges and the ids here, verified; raises DatasetError and StoreError."""
    merges, ids = (
        fetch_file(HubFile(_GPT2, name, "model", sha256=sha256), path, allow_network=allow_network, progress=progress)
        for (name, path), sha256 in zip(places().items(), vocabulary.FILES.values(), strict=True)
    )
    return merges, ids
