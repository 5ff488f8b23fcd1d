// Package torchfile reads and writes the files of PyTorch's torch.save: a pickle that describes a state dict, and the
// bytes of its tensors. Reading executes nothing: the pickle is interpreted by a machine that knows the instructions and
// the few names which a dict of tensors needs, and refuses everything else.
//
// The formats are PyTorch's own (torch/serialization.py, torch/_utils.py) and Python's pickle (PEP 307, PEP 3154).
package torchfile
