"""How many training tokens the steps of a run may use, where a ruleset declares the tokens of a step. Pure."""

from harness.core.measurement import DataReceipt

READ_AHEAD_STEPS = 1  # a loader reads a batch before it is trained on; two tokens more are the last target and a stop


def tokens_for(steps: int, tokens_per_step: int, shard_tokens: int) -> int:
    """Return how many training tokens, from the first on, a run of so many steps is offered at most.

    Those of its steps and of one step more. Of each shard the loaders of the field drop what is no whole batch (of
    100 M tokens 190 batches of 524,288 are read), so what a step takes from the next shard lies further behind.
    """
    batches = steps + READ_AHEAD_STEPS
    in_shard = (shard_tokens - 2) // tokens_per_step
    full = (batches - 1) // in_shard if in_shard and batches else 0
    return full * shard_tokens + (batches - full * in_shard) * tokens_per_step + 2


def offered_tokens(receipt: DataReceipt) -> int:
    """Return how many training tokens a run was offered: of all its shards but the first, the last as it was cut."""
    training = receipt.shards[1:]
    if receipt.cut is not None:
        training = (*training[:-1], receipt.cut)
    return sum(shard.tokens for shard in training)
