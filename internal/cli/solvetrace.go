package cli

import (
	"context"
	"fmt"
	"os"
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

// traced is what was seen of the reasoning about a question. There are moments only for --json with --trace.
type traced struct {
	moments []moment
	answer  []int32
	qHalt   float32
}

// trace lets the model reason, and shows what is wanted of the way to its answer.
func (s *solver) trace(ctx context.Context, q question) (traced, error) {
	var seen traced
	var thoughts []report.Thought
	err := s.tracer.Trace(ctx, q.batch, s.flags.segments, func(m loop.Moment) error {
		next := s.moment(q, m, seen.answer)
		seen.answer, seen.qHalt = m.Answer, m.QHalt
		if s.flags.picture != "" && !s.drawn {
			thoughts = append(thoughts, report.Thought{Segment: m.Segment, Cycle: m.Cycle, Step: m.Step, Answer: m.Answer, Confidence: m.Confidence})
		}
		switch {
		case !s.flags.trace:
			return nil
		case s.flags.json:
			seen.moments = append(seen.moments, next)
			return nil
		}
		return s.showMoment(m, next)
	})
	if err != nil || len(thoughts) == 0 {
		return seen, err
	}
	s.drawn = true
	return seen, s.draw(q, thoughts)
}

// draw writes the picture of --picture.
func (s *solver) draw(q question, thoughts []report.Thought) error {
	picture, err := s.palette.Strip(q.name, q.batch.Inputs, q.labels, thoughts)
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.flags.picture, []byte(picture), 0o644); err != nil {
		return usageError{fmt.Errorf("--picture: %w", err)}
	}
	return nil
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
