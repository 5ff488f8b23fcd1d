package model

import (
	"gorgonia.org/gorgonia"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// The Universal Transformer (arXiv 1807.03819): a Transformer all of whose layers are one, passed through again and again. It
// halts as the others do, for all positions at once, and has no encoding of the time. Like ALBERT (arXiv 1909.11942) it may
// share only one half of the layers: attention, or the feed-forward part.

const sharedLevel = "shared_level."

// universalHalves are where the weights of both halves of layer i are.
func universalHalves(spec *v1alpha1.ModelSpec, i int32) (mixing, feedForward string) {
	mixing, feedForward = layerOf(sharedLevel, 0), layerOf(sharedLevel, 0)
	switch spec.Sharing {
	case v1alpha1.SharingAttention:
		feedForward = layerOf(sharedLevel, i)
	case v1alpha1.SharingFeedForward:
		mixing = layerOf(sharedLevel, i)
	}
	return mixing, feedForward
}

func universalModules(m *Model) []Parameter {
	var out []Parameter
	for i := range m.Spec.Layers {
		mixing, feedForward := universalHalves(&m.Spec, i)
		own := layerOf(sharedLevel, i)
		if mixing == own {
			out = append(out, mixingParameters(m, own)...)
		}
		if feedForward == own {
			out = append(out, feedForwardParameters(m, own)...)
		}
	}
	return append(out, gateParameters(m, sharedLevel)...)
}

func universalSegment(n *network, z []*gorgonia.Node, e *gorgonia.Node, read func(reading)) []*gorgonia.Node {
	halves := func(i int32) (mixing, feedForward string) { return universalHalves(&n.model.Spec, i) }
	return []*gorgonia.Node{n.pass(n.combine(sharedLevel, z[0], e), n.model.Spec.Layers, halves, read)}
}
