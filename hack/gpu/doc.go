// Package gpu holds the script that checks the cuda device on a machine with a GPU, and its test.
package gpu
