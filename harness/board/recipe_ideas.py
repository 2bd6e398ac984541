"""The ideas of the first records of the short track, each in a few words and in two sentences: what and why.

They are told here and not in the scripts because some of these records have no script in the repository, and because
the reason for an idea belongs to the sequence, not to one program.
"""

IDEAS: dict[str, tuple[str, str]] = {
    "1": (
        "GPT-2 small as llm.c trains it",
        "A GPT-2 with 124 M parameters sees 10 B tokens once, with AdamW, a short warm-up and a cosine. "
        "It is what all later records are held against, and nothing in it is tuned for this target.",
    ),
    "2": (
        "A tuned AdamW and rotary positions",
        "Three times the learning rate, held and then brought down in a straight line, reaches the loss on half the tokens. "
        "Rotary positions, RMSNorm and no biases make the model simpler at the same time.",
    ),
    "3": (
        "The first Muon",
        "The momentum of a weight matrix is made nearly orthogonal before it is applied, so that all directions of the "
        "matrix move alike and not just the few that dominate its gradient. "
        "A polynomial of matrix products does this in bf16, without a singular value decomposition.",
    ),
    "4": (
        "Muon with scaled updates",
        "Every matrix inside the blocks is trained by Muon, with a factor for its size and with q, k and v made orthogonal "
        "each by itself; AdamW keeps the table. "
        "So one learning rate suits all matrices, and a third of the steps of record 2 is no longer needed.",
    ),
    "5": (
        "A modern architecture",
        "Heads of 128, squared ReLU, normalised queries and keys, and projections that start at zero, so that each block "
        "begins as the identity. "
        "The table is padded to 50,304 rows, a multiple of 128, because matrix products are faster at such sizes.",
    ),
    "6": (
        "Muon's work shared among the GPUs",
        "Each GPU makes one in eight matrices orthogonal, and one sum brings all updates to all GPUs. "
        "The training is the same as before; only work that eight GPUs did eight times is now done once.",
    ),
    "7": (
        "A newer PyTorch",
        "The program of record 6 to the byte, run with PyTorch 2.5. "
        "Whatever this gained came from the compiler and the kernels, so a time means little without the versions beside it.",
    ),
    "8": (
        "A head of its own",
        "The input table and the output head become two matrices, and each gets the learning rate that suits it. "
        "A table of which a step touches few rows wants a large one, the head one that is 150 times smaller.",
    ),
    "9": (
        "Shortcuts for values and embeddings",
        "Each block mixes the first block's values and the embedding into its own input, by learned scalars, so that what the "
        "token was stays within reach of every layer. "
        "A warm-up of Muon's momentum and a cap of the logits at 30 came with it; steps fell by nearly a third.",
    ),
    "10": (
        "Activations in bf16",
        "The residual stream is bf16 from the embedding on, so that less has to be moved through the memory in each step. "
        "What this loses in precision costs 42 steps, and each step gains more than that.",
    ),
    "11": (
        "U-net skips, twice the learning rates",
        "The second half of the blocks also receives the outputs of the first half, in reverse order, with learned weights. "
        "That shortens the way of the gradient, and with it learning rates can be doubled.",
    ),
    "12": (
        "FlexAttention over 65,536 tokens",
        "Each GPU trains on one row of 65,536 tokens, with a mask for documents and for a window of 1,024 tokens. "
        "No document is cut where a short row would end, and blocks of the mask that are empty cost nothing.",
    ),
    "13": (
        "A window that grows",
        "Attention begins with 64 tokens and ends with 1,792. "
        "Early in training a model learns what is near, so a long window would be paid for before it is of use.",
    ),
    "14": (
        "A table of values for every block",
        "Each block looks up a vector per token and mixes it into the values of its attention. "
        "This adds many parameters and next to no arithmetic, because a look-up is no matrix product.",
    ),
    "15": (
        "Mirrored tables, Muon without waiting",
        "Block i and the i-th from the end share one table of values, which halves what record 14 added. "
        "The GPUs exchange Muon's updates while they compute the next ones, so the network works beside the arithmetic.",
    ),
    "16": (
        "A mask of whole blocks",
        "The window is counted in blocks of 128 tokens, so most blocks are full or empty and need no test of each element. "
        "Masks come from a small table, outside the compiled model.",
    ),
    "17": (
        "Fewer tables, one attention less",
        "Only the first and the last three blocks keep tables of values, the 8th block loses its attention, and half of each "
        "head does not turn with the position. "
        "It takes ten steps more, and each step is so much cheaper that this pays.",
    ),
    "18": (
        "Logits capped at 15",
        "The cap of the logits falls from 30 to 15, which bounds how sure the model can be of a token. "
        "A hundred steps fewer reach the target, and the cap itself costs nothing.",
    ),
    "19": (
        "The head in 8 bits",
        "The product with the head, the largest of the model, is made of 8-bit floating-point numbers with fixed scales. "
        "The learning rate ends at a tenth instead of zero, and a sigmoid caps the logits.",
    ),
    "20": (
        "Long and short windows",
        "Queries, keys and values come from one product; most blocks attend to half the window, a few to all of it. "
        "The scale of attention is fixed, Adam's epsilon is smaller, and Muon takes several matrices at once.",
    ),
    "21": (
        "A smaller batch",
        "A row has 49,152 tokens instead of 65,536, so a step is cheaper by a quarter and there are more of them. "
        "For as many tokens, more and smaller steps learn more, as long as the GPUs stay busy: compare minutes, not steps.",
    ),
    "21.1": (
        "Record 21 by new rules",
        "The clock no longer leaves out the first ten steps: a warm-up compiles everything before it starts, and is undone. "
        "The compiler is no longer tuned by settings either, so the time rises; all later records are counted like this.",
    ),
    "21.2": (
        "Record 21 with a newer PyTorch",
        "The race went on four months later, with other builds of PyTorch. "
        "This re-timing is the line that records 22 and later start from.",
    ),
    "22": (
        "A quicker sum of gradients",
        "Gradients are summed over the GPUs in fewer and larger pieces. "
        "Each exchange has a cost of its own, whatever its size.",
    ),
    "23": (
        "Sums beside the backward pass",
        "A gradient is sent as soon as it is there, while the backward pass computes the next one. "
        "So most of the exchange is over when the last gradient is known.",
    ),
    "24": (
        "Gradients only where they are used",
        "A gradient is summed straight into the GPU that updates its weight, or that part of it, and the new weights are "
        "gathered afterwards. "
        "That halves what the network carries before an update, and Adam's state and work are shared out too.",
    ),
}
