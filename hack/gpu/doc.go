// Package gpu holds the script that checks the cuda device on a machine with a GPU, what it runs the PyTorch peer with, and its test.
package gpu
