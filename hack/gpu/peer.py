"""Runs the PyTorch peer, and says what memory PyTorch took of the GPU: peer.py hrm_torch.py FLAGS."""
import importlib
import json
import pathlib
import sys

import torch

path = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(path.parent))
sys.argv = sys.argv[1:]
importlib.import_module(path.stem).main()
print(json.dumps({"device_memory_mib": torch.cuda.max_memory_reserved() >> 20}))
