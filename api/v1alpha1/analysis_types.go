package v1alpha1

// AttentionLayer names a layer by its module, H or L, and its number in it, from 1: H1, L4.
// +kubebuilder:validation:MaxLength=4
// +kubebuilder:validation:Pattern=`^[HL][1-9][0-9]{0,2}$`
type AttentionLayer string

// AnalysisSpec says what is measured of the trained model when training has ended, as 'hrm analyze' does: how many dimensions its
// states use, how far each update moves them, what it would answer meanwhile. The figures go into analysis/analysis.json of the
// storage, pictures beside it. What goes wrong there is only logged.
type AnalysisSpec struct {
	// trajectories is the number of held-out puzzles that the model reasons about.
	// +optional
	// +kubebuilder:default=100
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	Trajectories int32 `json:"trajectories,omitempty"`
	// segments for each of them; the default is that of evaluation.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1024
	Segments *int32 `json:"segments,omitempty"`
	// untrained also measures a model with freshly drawn weights, to compare.
	// +optional
	// +kubebuilder:default=false
	Untrained *bool `json:"untrained,omitempty"`
	// attention are the layers whose attention to the first puzzle is drawn, as in [H1, L4].
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=8
	Attention []AttentionLayer `json:"attention,omitempty"`
	// timeoutSeconds ends an analysis that takes longer, with nothing written.
	// +optional
	// +kubebuilder:default=300
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	TimeoutSeconds int32 `json:"timeoutSeconds,omitempty"`
}

// AttentionLayers returns how many layers with attention of its own a module has, H or L. A Transformer's only module is H, TRM's L;
// the layers of a UniversalTransformer are in neither.
func (m *ModelSpec) AttentionLayers(module string) int32 {
	switch {
	case m.Mixing == MixingMLP:
		return 0
	case m.Architecture == ArchitectureHRM && module == "H":
		return m.HLayers
	case m.Architecture == ArchitectureHRM && module == "L":
		return m.LLayers
	case m.Architecture == ArchitectureTRM && module == "L", m.Architecture == ArchitectureTransformer && module == "H":
		return m.Layers
	}
	return 0
}

// AnalysisSegments returns how many segments an analysis takes of each example.
func (s *HRMTrainingJobSpec) AnalysisSegments() int {
	if s.Analysis != nil && s.Analysis.Segments != nil {
		return int(*s.Analysis.Segments)
	}
	return s.EvaluationSegments()
}
