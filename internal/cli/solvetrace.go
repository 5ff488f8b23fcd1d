package cli

import (
	"fmt"
	"strings"

	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/loop"
	"github.com/hrm-operator/hrm-operator/trainer/model"
	"github.com/hrm-operator/hrm-operator/trainer/report"
)

// moment is an intermediate answer, as --json has it.
type moment struct {
	Segment int `json:"segment"`
	Cycle   int `json:"cycle"`
	Step    int `json:"step"`
	Answer  any `json:"answer"`
	// Changed counts the cells that differ from the answer before; the first answer is compared with the puzzle.
	Changed int `json:"changed"`
	// Wrong counts the cells that differ from the solution, if one is known.
	Wrong *int `json:"wrong,omitempty"`
	// Confidence and Halts are known at the end of a segment: the probability that the model gives its answer, and whether
	// it would halt here by itself.
	Confidence *float64 `json:"confidence,omitempty"`
	Halts      *bool    `json:"halts,omitempty"`

	marks []report.Mark
}

// moment counts what an intermediate answer has changed.
func (s *solver) moment(q question, m loop.Moment, before []int32) moment {
	out := moment{Segment: m.Segment, Cycle: m.Cycle, Step: m.Step, Answer: compactTokens(m.Answer, s.model.shape.VocabSize)}
	if before == nil {
		before = q.batch.Inputs
	}
	wrong := 0
	out.marks = report.Compare(q.batch.Inputs, before, m.Answer, q.labels)
	for _, mark := range out.marks {
		if mark&report.Changed != 0 {
			out.Changed++
		}
		if mark&report.Wrong != 0 {
			wrong++
		}
	}
	if q.labels != nil {
		out.Wrong = &wrong
	}
	if m.End {
		p := confidence(m.QHalt)
		out.Confidence = &p
		of := model.Model{Spec: s.model.job.Spec.Model}
		if rule := of.Halting(); rule != device.HaltAtLast {
			halts := model.HaltsEarly(rule, m.QHalt, m.QContinue)
			out.Halts = &halts
		}
	}
	return out
}

// showMoment prints an intermediate answer: a line, and the board if something has changed.
func (s *solver) showMoment(m loop.Moment, counted moment) error {
	var text strings.Builder
	fmt.Fprintf(&text, "segment %d, cycle %d, step %d: %s changed", m.Segment, m.Cycle, m.Step, plural(int32(counted.Changed), "cell"))
	if counted.Wrong != nil {
		fmt.Fprintf(&text, ", %d wrong", *counted.Wrong)
	}
	if m.End {
		fmt.Fprintf(&text, ", confidence %.1f %%", 100**counted.Confidence)
		if counted.Halts != nil && *counted.Halts {
			text.WriteString(", halts here")
		}
	}
	text.WriteByte('\n')
	if counted.Changed > 0 {
		board := s.palette.Board(m.Answer, counted.marks)
		text.WriteString(s.palette.Text(board, s.screen.colour) + "\n")
	}
	_, err := fmt.Fprint(s.out, text.String())
	return err
}
