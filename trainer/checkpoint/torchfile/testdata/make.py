"""Writes the files that the tests read: /usr/bin/python3 make.py DIR. The test files in the repository are from PyTorch 1.13."""
import sys
from collections import OrderedDict

import torch

into = sys.argv[1] + "/"
floats = [-0.5, -0.25, 0.0, 0.25, 0.5, 0.75]
tensors = OrderedDict()
for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
    tensors[str(dtype)[6:]] = torch.tensor(floats, dtype=dtype).view(2, 3)
for dtype in (torch.int64, torch.int32, torch.int16, torch.int8):
    tensors[str(dtype)[6:]] = torch.arange(-2, 4, dtype=dtype).view(2, 3)
tensors["uint8"] = torch.arange(6, dtype=torch.uint8).view(2, 3)
tensors["bool"] = torch.tensor([[True, False, True], [False, True, True]])
base = torch.arange(12, dtype=torch.float32).view(3, 4)
tensors["views.whole"] = base
tensors["views.transposed"] = base.t()
tensors["views.part"] = base[1:, 1::2]
tensors["views.row"] = base[2]
tensors["views.expanded"] = torch.tensor([[7.0], [8.0]]).expand(2, 3)
tensors["scalar"] = torch.tensor(5.0)
tensors["empty"] = torch.zeros(0, 4)
tensors["parameter"] = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
tensors._metadata = OrderedDict([("", {"version": 1})])

torch.save(tensors, into + "zip.pt")
torch.save(dict(tensors), into + "dict.pt")
torch.save(tensors, into + "protocol4.pt", pickle_protocol=4)
torch.save(tensors, into + "legacy.pt", _use_new_zipfile_serialization=False)
torch.save(torch.nn.Linear(2, 1), into + "module.pt")
torch.save({"model": OrderedDict(w=torch.ones(2)), "step": 3}, into + "training.pt")
torch.save([torch.ones(2)], into + "list.pt")
torch.save({"w": torch.ones(2).to_sparse()}, into + "sparse.pt")
torch.save({"w": torch.ones(2, dtype=torch.complex64)}, into + "complex.pt")
torch.jit.save(torch.jit.script(torch.nn.Linear(2, 1)), into + "script.pt")
