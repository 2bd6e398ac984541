"""What a trained model is worth: HellaSwag, the loss of any text, samples, and the same with weights in int8.

evaluation   one checkpoint from its questions to a result: the confined model, the work piece by piece, what it sums up to
checkpoints  what is evaluated: weights, the script that loads them, and whether that script is known
questions    what is asked of a model, cut into pieces that are each answered once
pieces       the answers so far, kept so that an evaluation that was killed goes on
asking       the process that holds the targets and asks the confined model for logits
inside       in the confined process: the weights as int8, their size, the speed of the model
hellaswag    the items of the test, as rows of tokens, and what answers make of them
byte_pairs   GPT-2's tokenizer from its two files
sources      where tokenizer and items come from, and their hashes
"""
