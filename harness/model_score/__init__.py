"""Score a trained model without its script's word: the harness holds the targets, a confined process the model.

`serving` loads the weights with the script's own `load` and answers inputs with logits, confined as the run was;
`confining_model` lays script and weights out for it; `measuring` asks it and computes the losses; `scoring` starts both
for one run and stores what they found; `references` finds the honest model beside it; `gap` compares two texts.
"""
