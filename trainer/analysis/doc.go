// Package analysis measures what the states of a Hierarchical Reasoning Model do while it reasons, as section "Brain
// Correspondence" and the figures on convergence of its paper (arXiv 2506.21734) do: how many dimensions they use, how far each
// update moves them, and where they wander. The measures are pure functions of states; [Observe] lets a model reason and takes
// them.
package analysis
