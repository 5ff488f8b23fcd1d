package device

import "fmt"

var opcodeNames = map[Opcode]string{
	OpEmbed: "Embed", OpEmbedGradWeight: "EmbedGradWeight", OpEmbedGradPuzzle: "EmbedGradPuzzle",
	OpEmbedGradPositions: "EmbedGradPositions", OpReset: "Reset", OpAdd: "Add",
	OpLinear: "Linear", OpLinearGradInput: "LinearGradInput", OpLinearGradWeight: "LinearGradWeight",
	OpAttention: "Attention", OpAttentionGrad: "AttentionGrad",
	OpAddRMSNorm: "AddRMSNorm", OpAddRMSNormGrad: "AddRMSNormGrad",
	OpSwiGLU: "SwiGLU", OpSwiGLUGrad: "SwiGLUGrad",
	OpDropPrefix: "DropPrefix", OpDropPrefixGrad: "DropPrefixGrad",
	OpQHead: "QHead", OpQHeadGradInput: "QHeadGradInput", OpQHeadGradWeight: "QHeadGradWeight", OpQHeadGradBias: "QHeadGradBias",
	OpLMLoss: "LMLoss", OpLMLossGrad: "LMLossGrad", OpTokenStats: "TokenStats",
	OpQTarget: "QTarget", OpQLoss: "QLoss", OpQLossGrad: "QLossGrad", OpFill: "Fill",
	OpTranspose: "Transpose", OpGate: "Gate", OpGateGradGate: "GateGradGate", OpGateGradInput: "GateGradInput",
	OpSlice: "Slice", OpSliceGrad: "SliceGrad", OpJoin: "Join", OpActivate: "Activate", OpActivateGrad: "ActivateGrad",
	OpMultiply: "Multiply", OpBlend: "Blend", OpBlendGradWeight: "BlendGradWeight",
	OpTopK: "TopK", OpUnpredicted: "Unpredicted", OpNextTokens: "NextTokens",
	OpSquaredError: "SquaredError", OpSquaredErrorGrad: "SquaredErrorGrad",
	OpAppend: "Append", OpRecall: "Recall", OpRecallGradPast: "RecallGradPast",
}

// String returns the opcode's name.
func (o Opcode) String() string {
	if s, ok := opcodeNames[o]; ok {
		return s
	}
	return fmt.Sprintf("Opcode(%d)", uint8(o))
}
