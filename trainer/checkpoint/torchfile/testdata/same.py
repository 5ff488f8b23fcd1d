"""Fails unless two files hold the same tensors: python3 same.py FILE FILE. Loads them as newer PyTorches do by default."""
import sys

import torch

one, other = (torch.load(file, weights_only=True) for file in sys.argv[1:3])
assert sorted(one) == sorted(other), (sorted(one), sorted(other))
for name in one:
    a, b = one[name], other[name]
    assert a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b), name
    assert b.is_contiguous(), name
print(len(one), "tensors")
