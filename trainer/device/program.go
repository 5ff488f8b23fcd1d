package device

import "fmt"

// Role says where a value's memory comes from.
type Role uint8

// The roles of values.
const (
	// Temporary values live in the device's arena at Value.Offset.
	Temporary Role = iota
	// Input values are bound for every run and only read.
	Input
	// Parameter values (float32) are bound for every run, shared by all rows and only read.
	Parameter
	// Output values are bound for every run and written.
	Output
	// Gradient values (float32) are bound for every run; instructions that name one as Out add to it.
	Gradient
)

// Value is one array that a program computes with.
type Value struct {
	// Name binds inputs, outputs, parameters and gradients; for temporaries it helps debugging.
	Name  string
	Role  Role
	DType DType
	// Rows says that there is one block of Shape per row of the batch.
	Rows bool
	// Shape is without the batch dimension if Rows is set; empty for a scalar.
	Shape []int
	// Offset places a temporary in the arena: bytes per row, a multiple of 64. The arena of a slice of n rows takes
	// n*Program.ArenaBytes, and the value begins at n*Offset. Values whose lives do not overlap share places.
	Offset int
}

// Elements returns the number of elements of the value (per row if Rows is set).
func (v *Value) Elements() int {
	n := 1
	for _, d := range v.Shape {
		n *= d
	}
	return n
}

// Count returns the number of elements over rows examples.
func (v *Value) Count(rows int) int {
	if v.Rows {
		return rows * v.Elements()
	}
	return v.Elements()
}

// Last returns the innermost dimension, 1 of a scalar.
func (v *Value) Last() int {
	if len(v.Shape) == 0 {
		return 1
	}
	return v.Shape[len(v.Shape)-1]
}

// Opcode names what an instruction computes.
type Opcode uint8

// The instructions. Shapes are per row: T = prefix+S positions, S tokens, D hidden, V vocabulary, F SwiGLU width, h heads.
// "act" is the activation type of the program (Float32 or BFloat16); arithmetic inside an instruction is at least float32.
const (
	// OpEmbed: In tokens I32 [S], weight [V,D], puzzle F32 [puzzleDim] (or NoValue if Prefix is 0), optional positions [T,D].
	// Out act [T,D] = Scale*[prefix ; tokens], the prefix being the puzzle's row, zero-padded, cut into Prefix positions.
	// With positions: Scale*0.707106781*([prefix ; tokens] + positions).
	OpEmbed Opcode = iota + 1
	// OpEmbedGradWeight: In tokens, dOut [T,D]. Out Gradient [V,D]. Attr as OpEmbed (LearnedPositions set when they are).
	OpEmbedGradWeight
	// OpEmbedGradPuzzle: In dOut [T,D]. Out F32 [puzzleDim].
	OpEmbedGradPuzzle
	// OpEmbedGradPositions: In dOut [T,D]. Out Gradient [T,D].
	OpEmbedGradPositions
	// OpReset: In z act [T,D], init F32 parameter [D], halted I32 []. Out act [T,D] = halted ? init at every position : z.
	OpReset
	// OpAdd: In two or three act values of one shape. Out their sum. Out may be the same value as In[0].
	OpAdd
	// OpLinear: In x act [...,in], weight [out,in]. Out act [...,out] = x·Wᵀ.
	OpLinear
	// OpLinearGradInput: In dOut act [...,out], weight [out,in]. Out act [...,in] = dOut·W, added to Out if Accumulate.
	OpLinearGradInput
	// OpLinearGradWeight: In dOut act [...,out], x act [...,in]. Out Gradient [out,in] += dOutᵀ·x.
	OpLinearGradWeight
	// OpAttention: In qkv act [T,3D] (q, then k, then v; heads side by side in each). Out act [T,D]; Aux F32 [h,T] is the
	// log-sum-exp of the scaled scores. If Out is [Q,D] and Aux [h,Q], only the first Q positions ask. Bidirectional, scale 1/sqrt(D/h). RoPE (half-split, theta RoPETheta) on q and k
	// unless RoPETheta is 0.
	OpAttention
	// OpAttentionGrad: In qkv, out [T,D], dOut [T,D]; Aux the forward's. Out act [T,3D].
	OpAttentionGrad
	// OpAddRMSNorm: In x, y act [T,D]. Out act rms(x+y); Aux F32 [T] is 1/sqrt(mean((x+y)²)+Epsilon). Of operands with more
	// positions than Out the first are taken.
	OpAddRMSNorm
	// OpAddRMSNormGrad: In out [T,D] (of the forward), dOut [T,D]; Aux the forward's. Out act [T,D]: the gradient of x and of y.
	OpAddRMSNormGrad
	// OpSwiGLU: In gateUp act [...,2F] (gate first). Out act [...,F] = silu(gate)*up.
	OpSwiGLU
	// OpSwiGLUGrad: In gateUp [...,2F], dOut [...,F]. Out act [...,2F].
	OpSwiGLUGrad
	// OpDropPrefix: In act [T,V]. Out [S,V] = In[Prefix:].
	OpDropPrefix
	// OpDropPrefixGrad: In act [S,V]. Out [T,V], zero in the first Prefix positions.
	OpDropPrefixGrad
	// OpQHead: In zH act [T,D], weight [2,D], bias [2]. Out F32 [2] = W·zH[0]+b: q_halt, q_continue.
	OpQHead
	// OpQHeadGradInput: In dQ F32 [2], weight [2,D]. Out act [T,D], zero but for position 0; added to Out if Accumulate.
	OpQHeadGradInput
	// OpQHeadGradWeight: In dQ F32 [2], zH act [T,D]. Out Gradient [2,D].
	OpQHeadGradWeight
	// OpQHeadGradBias: In dQ F32 [2]. Out Gradient [2].
	OpQHeadGradBias
	// OpLMLoss: In logits act [S,V], labels I32 [S] (-100 ignored). Out F32 []: mean loss over labelled tokens, 0 if none.
	OpLMLoss
	// OpLMLossGrad: In logits, labels, dLoss F32 []. Out act [S,V].
	OpLMLossGrad
	// OpTokenStats: In logits act [S,V], labels. Out F32 [2]: correct tokens (argmax, first wins), labelled tokens.
	OpTokenStats
	// OpQTarget: In q F32 [2] of the next segment, last I32 []. Out F32 []: sigmoid(last ? q_halt : max(q_halt, q_continue)).
	OpQTarget
	// OpQLoss: In q F32 [2], stats F32 [2], optional target F32 []. Out F32 [2]: bce(q_halt, all tokens right),
	// bce(q_continue, target) or 0 without a target.
	OpQLoss
	// OpQLossGrad: In q, stats, dLoss F32 [2], optional target. Out F32 [2].
	OpQLossGrad
	// OpFill: Out F32 of any shape = Scale everywhere.
	OpFill
	// OpTranspose: In act [T,D]. Out act [D,T].
	OpTranspose
	// OpGate: In gate, x, y act of one shape. Out act 2·(σ(gate)·x + σ(-gate)·y): their sum where gate is 0.
	OpGate
	// OpGateGradGate: In gate, x, y, dOut act. Out act 2·σ(gate)·σ(-gate)·(x-y)·dOut.
	OpGateGradGate
	// OpGateGradInput: In gate, dOut act. Out act 2·σ(Scale·gate)·dOut: the gradient of x if Scale is 1, of y if it is -1.
	OpGateGradInput
	// OpSlice: In act of two dimensions. Out act, as long as it is along dimension Axis, from index From on: positions if Axis is 0,
	// columns if it is 1.
	OpSlice
	// OpSliceGrad: In dOut act, the shape of a slice. Out act, the shape of what was sliced, zero but for the slice; added to that
	// part of Out if Accumulate, the rest being left as it is.
	OpSliceGrad
	// OpJoin: In one or more act values of two dimensions. Out act: they stand one behind the other along dimension Axis.
	OpJoin
	// OpActivate: In act. Out act of that shape, the function Activation of it.
	OpActivate
	// OpActivateGrad: In x, dOut act of one shape; x is the forward's Out, but its In if Activation is Step. Out act [like dOut].
	OpActivateGrad
	// OpMultiply: In x act [T,D], w act [T,D] or [T,1], a number for each position. Out act [T,D] w·x, (1-w)·x if Complement.
	OpMultiply
	// OpBlend: In w act [T,D] or [T,1], x, y act [T,D]. Out act w·x + (1-w)·y.
	OpBlend
	// OpBlendGradWeight: In dOut, x act [T,D], optional y. Out act [T,D] (x-y)·dOut, or [T,1] the sum of that over the columns: the
	// gradient of Blend's w, and without y of Multiply's.
	OpBlendGradWeight
	// OpTopK: In scores act [T,1], optional among act [T,1]. Out act [T,1] = 1 at the Count positions of the largest scores, of those
	// where among is not 0 if it is there, and 0 elsewhere; of equal scores the first wins.
	OpTopK
	// OpUnpredicted: In logits act [S,V], tokens I32 [S]. Out act [Prefix+S,1] = 1 where the argmax (first wins) of the logits at the
	// token before is another one than the token, and where there is none before: at the prefix and at the first token. 0 elsewhere.
	OpUnpredicted
	// OpNextTokens: In tokens I32 [S], optional wanted act [Prefix+S,1]. Out I32 [S]: at each token the one after it, as a label: -100 at
	// the last one, and where wanted is 0 at the position of the token after it.
	OpNextTokens
	// OpSquaredError: In x, y act of one shape. Out F32 []: the mean of (x-y)².
	OpSquaredError
	// OpSquaredErrorGrad: In x, y, dLoss F32 []. Out act 2·dLoss·(x-y)/elements: the gradient of x.
	OpSquaredErrorGrad
	// OpAppend: In state act [1,D]. Out act [T,D]: its position From becomes the state, the others stay what they are.
	OpAppend
	// OpRecall: In past act [T,D], query act [1,D]. Out act [1,D] = Scale·Σ_{i<Count} Decay^(Count-1-i)·past[i]·(past[i]·query).
	// The gradient of the query is the same of dOut.
	OpRecall
	// OpRecallGradPast: In past act [T,D], query, dOut act [1,D]. Out act [T,D], added to Out if Accumulate: at the positions i < Count
	// Scale·Decay^(Count-1-i)·((past[i]·query)·dOut + (past[i]·dOut)·query), 0 at the others.
	OpRecallGradPast
)

// Accumulates says whether an opcode can add to its Out.
func (o Opcode) Accumulates() bool {
	return o == OpLinearGradInput || o == OpQHeadGradInput || o == OpSliceGrad || o == OpRecallGradPast
}

// NoValue stands for an operand that an instruction does without.
const NoValue = -1

// LossKind selects the token loss.
type LossKind uint8

// The token losses.
const (
	Stablemax LossKind = iota
	Softmax
)

// Activation is a function of single numbers.
type Activation uint8

// The activations. The gradient of Step is that of a hard sigmoid in its place, max(0, min(1, (Scale·x+1)/2)): Scale/2 where
// |x| < 1/Scale, else 0 (straight-through estimator).
const (
	Tanh Activation = iota
	Sigmoid
	// Step is 1 where x > 0, else 0.
	Step
)

// Attributes are the constants of an instruction; each opcode reads the ones that its comment names.
type Attributes struct {
	Prefix           int
	Heads            int
	Scale            float64
	RoPETheta        float64
	Epsilon          float64
	Loss             LossKind
	LearnedPositions bool
	Activation       Activation
	// Complement takes 1-w for w.
	Complement bool
	// Axis counts from 0, rows not being one; From is an index along it.
	Axis, From int
	// Count is how many positions are meant.
	Count int
	// Decay is by how much less a position counts than the one after it.
	Decay float64
	// Accumulate adds to Out in place of overwriting it.
	Accumulate bool
}

// Instruction computes Out from In. Operands are indices into Program.Values.
type Instruction struct {
	Op   Opcode
	In   []int
	Out  int
	Aux  int
	Attr Attributes
}

// Program is what a device runs: instructions in order over values.
type Program struct {
	Name         string
	Values       []Value
	Instructions []Instruction
	// ArenaBytes is the size of all temporaries per row.
	ArenaBytes int
}

// Check reports the first instruction that names a value that does not exist, or writes what is only to be read.
func (p *Program) Check() error {
	for i, ins := range p.Instructions {
		for _, v := range append([]int{ins.Out}, ins.In...) {
			if v != NoValue && (v < 0 || v >= len(p.Values)) {
				return fmt.Errorf("program %s: instruction %d (%v) names value %d of %d", p.Name, i, ins.Op, v, len(p.Values))
			}
		}
		if out := p.Values[ins.Out]; out.Role == Input || out.Role == Parameter {
			return fmt.Errorf("program %s: instruction %d (%v) writes %s, which is only to be read", p.Name, i, ins.Op, out.Name)
		}
	}
	return nil
}
