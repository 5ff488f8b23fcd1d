package progress

import (
	"strings"
	"testing"
)

func TestTerminationMessage_fitsWhatKubernetesKeeps(t *testing.T) {
	loss := 0.5
	for name, message := range map[string]string{
		"no message":            "",
		"a short message":       "dataset row 7 has no solution",
		"a long message":        strings.Repeat("x", 10_000),
		"many quotes":           strings.Repeat(`"`, 5_000),
		"many-byte characters":  strings.Repeat("é", 5_000),
		"control characters":    strings.Repeat("\x01", 3_000),
		"exactly at the border": strings.Repeat("y", MaxTerminationMessage),
	} {
		t.Run(name, func(t *testing.T) {
			out, err := Report{Step: 3, Loss: &loss, Message: message}.TerminationMessage()
			if err != nil {
				t.Fatal(err)
			}
			if len(out) > MaxTerminationMessage {
				t.Errorf("%d bytes, more than the %d that are kept", len(out), MaxTerminationMessage)
			}
			back, ok := Parse(out)
			if !ok {
				t.Fatalf("not a report: %s", out)
			}
			if back.Step != 3 || back.Loss == nil || *back.Loss != loss {
				t.Errorf("figures were lost: %+v", back)
			}
			if !strings.HasPrefix(message, back.Message) {
				t.Errorf("message %q is not a beginning of what was given", back.Message)
			}
		})
	}
}

func TestParse_refusesWhatIsNoReport(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "a log line": "step 3 loss 0.5", "cut short": `{"step":3,`, "null": " null"} {
		t.Run(name, func(t *testing.T) {
			if r, ok := Parse([]byte(text)); ok {
				t.Errorf("read %+v", r)
			}
		})
	}
}

// Whatever a pod says, what is read of it can be said again within the bound, and reads the same.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"step":3,"totalSteps":10,"loss":0.5,"phase":"Training","lastCheckpoint":{"uri":"s3://b/k","step":1,"time":"2026-11-01T12:00:00Z"}}`))
	f.Add([]byte(`{"step":-9223372036854775808,"epoch":1e308,"message":"\u0000"}`))
	f.Add([]byte("null"))
	f.Add([]byte("step 3 loss 0.5"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, ok := Parse(data)
		if !ok {
			return
		}
		out, err := r.TerminationMessage()
		if err != nil {
			t.Fatalf("%+v: %v", r, err)
		}
		if back, ok := Parse(out); !ok || back.Step != r.Step || !strings.HasPrefix(r.Message, back.Message) {
			t.Fatalf("%s becomes %s", data, out)
		}
	})
}
