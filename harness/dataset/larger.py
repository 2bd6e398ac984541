"""Token files that belong to no track: more of the same text, for training beyond it.

Their shards have the same form and the same source as those of the tracks with FineWeb, and are fetched and verified in
the same way. They have no pins: the hub's hash decides.
"""

from harness.core.task import Hardware, Track, TrackData

FINEWEB_100B = TrackData(
    source="hub",
    folder="data/fineweb100B",
    train_pattern="fineweb_train_%06d.bin",
    val_pattern="fineweb_val_%06d.bin",
    train_shards=1030,
    shard_tokens=100_000_000,
    repository="kjj0/fineweb100B-gpt2",
)
# What examples/scale_up opens with its preset of 1.5 billion weights.
_TOKENS = {"fineweb100B": (FINEWEB_100B, 10_100_000_000)}
NAMES = tuple(_TOKENS)


def find(name: str) -> Track | None:
    """Return token files by their name, in the form of a track that nobody races on; None where there are none."""
    if name not in _TOKENS:
        return None
    data, train_tokens = _TOKENS[name]
    return Track(
        name=name,
        title=f"the tokens of {data.repository}",
        target_loss=1.0,
        metric="steps",
        validation_tokens=10_485_760,
        train_tokens=train_tokens,
        runs=1,
        silence_limit_s=1.0,
        time_limit_s=1.0,
        hardware=Hardware("any", 1),
        data=data,
        dry=(),
        rulesets=(),
    )
