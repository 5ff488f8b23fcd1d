package progress

import (
	"encoding/binary"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
)

// event is what a reader finds in a TFRecord.
type event struct {
	Seconds float64
	Step    int64
	Version string
	Scalars []Scalar
}

// readEvents takes an event file apart as its definition says, and fails at whatever it does not know.
func readEvents(t *testing.T, file []byte) (events []event) {
	t.Helper()
	for len(file) > 0 {
		n := binary.LittleEndian.Uint64(file)
		data := file[12 : 12+n]
		if binary.LittleEndian.Uint32(file[8:]) != maskedCRC(file[:8]) || binary.LittleEndian.Uint32(file[12+n:]) != maskedCRC(data) {
			t.Fatal("a checksum is wrong")
		}
		var e event
		fields(t, data, func(number protowire.Number, bits uint64, content []byte) {
			switch number {
			case 1:
				e.Seconds = math.Float64frombits(bits)
			case 2:
				e.Step = int64(bits)
			case 3:
				e.Version = string(content)
			case 5:
				fields(t, content, func(_ protowire.Number, _ uint64, value []byte) {
					var s Scalar
					fields(t, value, func(number protowire.Number, bits uint64, content []byte) {
						if number == 1 {
							s.Tag = string(content)
						} else {
							s.Value = float64(math.Float32frombits(uint32(bits)))
						}
					})
					e.Scalars = append(e.Scalars, s)
				})
			default:
				t.Fatalf("field %d", number)
			}
		})
		events, file = append(events, e), file[16+n:]
	}
	return events
}

// fields visits the fields of a message.
func fields(t *testing.T, b []byte, visit func(number protowire.Number, bits uint64, content []byte)) {
	t.Helper()
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		b = b[n:]
		var bits uint64
		var content []byte
		switch kind {
		case protowire.VarintType:
			bits, n = protowire.ConsumeVarint(b)
		case protowire.Fixed64Type:
			bits, n = protowire.ConsumeFixed64(b)
		case protowire.Fixed32Type:
			var half uint32
			half, n = protowire.ConsumeFixed32(b)
			bits = uint64(half)
		default:
			content, n = protowire.ConsumeBytes(b)
		}
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		visit(number, bits, content)
		b = b[n:]
	}
}

func TestEvents_areTheJournal(t *testing.T) {
	loss, exact := 1.5, 0.25
	at := time.Date(2026, 11, 27, 12, 0, 0, 500_000_000, time.UTC)
	j := &Journal{}
	for _, r := range []Record{
		{Step: 10, Time: at, Loss: &loss, SamplesPerSecond: 64, LearningRate: 0.5, Seconds: map[string]float64{"data": 0.25, "compute": 2}},
		{Step: 20, Time: at.Add(time.Second), EvalExactAccuracy: &exact, EvalScores: map[string]float64{"valid": 0.75}},
	} {
		if err := j.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	unix := float64(at.UnixMicro()) / 1e6
	want := []event{
		{Seconds: unix, Version: "brain.Event:2"},
		{Seconds: unix, Step: 10, Scalars: []Scalar{
			{"train/loss", 1.5}, {"train/learning_rate", 0.5}, {"train/samples_per_second", 64}, {"seconds/compute", 2}, {"seconds/data", 0.25},
		}},
		{Seconds: unix + 1, Step: 20, Scalars: []Scalar{{"eval/exact_accuracy", 0.25}, {"eval/valid", 0.75}}},
	}
	if diff := cmp.Diff(want, readEvents(t, Events(append(j.Bytes(), "{\"step\":"...)))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]event{{Version: "brain.Event:2"}}, readEvents(t, Events(nil))); diff != "" {
		t.Errorf("of no journal (-want +got)\n%s", diff)
	}
}

// The check value of CRC-32C is 0xe3069283 (RFC 3720, B.4 gives others of the same polynomial); masked as TFRecords do.
func TestMaskedCRC(t *testing.T) {
	crc := uint32(0xe3069283)
	if got, want := maskedCRC([]byte("123456789")), (crc>>15|crc<<17)+0xa282ead8; got != want {
		t.Errorf("got %#x, want %#x", got, want)
	}
}

func TestReadJournal(t *testing.T) {
	for name, row := range map[string]struct {
		raw             string
		records, broken int
	}{
		"nothing":     {"", 0, 0},
		"lines":       {"{\"step\":1}\n{\"step\":2}\n", 2, 0},
		"cut off":     {"{\"step\":1}\n{\"step\":2,\"lo", 1, 1},
		"not a table": {"<html>\n\n[1]\nnull\n", 0, 3},
		"of strings":  {"{\"step\":\"one\"}\n", 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			records, broken := ReadJournal([]byte(row.raw))
			if len(records) != row.records || broken != row.broken {
				t.Errorf("%d records, %d broken lines", len(records), broken)
			}
		})
	}
}
