"""Computes a model's logits with PyTorch: peer_logits.py PEER CONFIG WEIGHTS BATCH LOGITS [OFFICIAL].

PEER is the file of an implementation to import, CONFIG the sizes as JSON; WEIGHTS, BATCH (inputs, puzzle_identifiers) and
LOGITS (segment0, segment1, …) are files of torch.save. If OFFICIAL is given the weights are saved there as the official
training saves them, under the names of a compiled model and with bfloat16 initial states, and besides with elements that do
not lie in order; the logits are then those of that file.
"""
import importlib.util
import json
import sys
from collections import OrderedDict

import torch

peer_file, config, weights, batch, logits = sys.argv[1:6]
module = importlib.util.spec_from_file_location("peer", peer_file)
peer = importlib.util.module_from_spec(module)
module.loader.exec_module(peer)

if len(sys.argv) > 6:
    official = OrderedDict()
    for name, t in torch.load(weights, weights_only=True).items():
        if name.endswith("_init"):
            t = t.bfloat16()
        elif t.dim() == 2:
            t = torch.cat((t.t(), t.t()))[: t.shape[1]].t()
            assert not t.is_contiguous()
        official["_orig_mod." + name] = t
    weights = sys.argv[6]
    torch.save(official, weights)

cfg = json.load(open(config))
net = peer.Peer(cfg, "cpu", torch.float32)
for name, t in torch.load(weights, weights_only=True).items():
    name = name.replace("_orig_mod.", "").replace("model.inner.", "")
    into = net.buf if name in ("H_init", "L_init", "puzzle_emb.weights") else net.p
    into[name] = t.float()

given = torch.load(batch, weights_only=True)
tokens, puzzles = given["inputs"], net.buf["puzzle_emb.weights"][given["puzzle_identifiers"].long()]
shape = (tokens.shape[0], net.length, cfg["hidden_size"])
z_h, z_l = (net.buf[name].expand(shape) for name in ("H_init", "L_init"))
out = {}
with torch.no_grad():
    for segment in range(cfg["halt_max_steps"]):
        z_h, z_l, y, _, _ = net.segment(z_h, z_l, tokens, puzzles)
        out[f"segment{segment}"] = y
torch.save(out, logits)
