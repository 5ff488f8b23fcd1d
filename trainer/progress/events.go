package progress

import (
	"encoding/binary"
	"hash/crc32"
	"maps"
	"math"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// EventsKey is the name of the journal as TensorBoard reads it, in a folder of its own: 'tensorboard --logdir' looks for
// "tfevents" in names.
const EventsKey = "tensorboard/events.out.tfevents.hrm"

// Events returns a journal as a TensorBoard event file: TFRecords of Event messages, each with the scalars of a record
// (tensorflow/core/util/event.proto and framework/summary.proto; the framing is that of tensorflow/core/lib/io/record_writer.cc).
// Lines that are no records are left out.
func Events(journal []byte) []byte {
	const version = "brain.Event:2"
	records, _ := ReadJournal(journal)
	var first time.Time
	if len(records) > 0 {
		first = records[0].Time
	}
	file := appendTFRecord(nil, appendBytes(eventHeader(first, 0), eventFileVersion, []byte(version)))
	for _, r := range records {
		event := eventHeader(r.Time, r.Step)
		var summary []byte
		for _, s := range r.Scalars() {
			summary = appendBytes(summary, summaryValue, scalarValue(s))
		}
		file = appendTFRecord(file, appendBytes(event, eventSummary, summary))
	}
	return file
}

// Scalar is a figure of a record, under the name that it has in TensorBoard.
type Scalar struct {
	Tag   string
	Value float64
}

// Scalars lists what a record knows, in the same order for every record.
func (r *Record) Scalars() []Scalar {
	var list []Scalar
	known := func(tag string, x *float64) {
		if x != nil {
			list = append(list, Scalar{tag, *x})
		}
	}
	positive := func(tag string, x float64) {
		if x > 0 {
			list = append(list, Scalar{tag, x})
		}
	}
	known("train/loss", r.Loss)
	known("train/lm_loss", r.LMLoss)
	known("train/q_halt_loss", r.QHaltLoss)
	known("train/q_continue_loss", r.QContinueLoss)
	known("train/accuracy", r.Accuracy)
	known("train/exact_accuracy", r.ExactAccuracy)
	known("train/q_halt_accuracy", r.QHaltAccuracy)
	known("train/steps", r.Steps)
	positive("train/learning_rate", r.LearningRate)
	positive("train/samples_per_second", r.SamplesPerSecond)
	known("eval/accuracy", r.EvalAccuracy)
	known("eval/exact_accuracy", r.EvalExactAccuracy)
	for _, name := range slices.Sorted(maps.Keys(r.EvalScores)) {
		list = append(list, Scalar{"eval/" + name, r.EvalScores[name]})
	}
	for _, part := range slices.Sorted(maps.Keys(r.Seconds)) {
		list = append(list, Scalar{"seconds/" + part, r.Seconds[part]})
	}
	return list
}

// The numbers of the fields in event.proto and summary.proto.
const (
	eventWallTime    protowire.Number = 1 // double
	eventStep        protowire.Number = 2 // int64
	eventFileVersion protowire.Number = 3
	eventSummary     protowire.Number = 5
	summaryValue     protowire.Number = 1
	valueTag         protowire.Number = 1
	valueSimple      protowire.Number = 2 // float
)

func eventHeader(at time.Time, step int64) []byte {
	seconds := 0.0
	if !at.IsZero() {
		seconds = float64(at.UnixMicro()) / 1e6
	}
	b := protowire.AppendTag(nil, eventWallTime, protowire.Fixed64Type)
	b = protowire.AppendFixed64(b, math.Float64bits(seconds))
	b = protowire.AppendTag(b, eventStep, protowire.VarintType)
	return protowire.AppendVarint(b, uint64(step))
}

func scalarValue(s Scalar) []byte {
	b := appendBytes(nil, valueTag, []byte(s.Tag))
	b = protowire.AppendTag(b, valueSimple, protowire.Fixed32Type)
	return protowire.AppendFixed32(b, math.Float32bits(float32(s.Value)))
}

func appendBytes(b []byte, field protowire.Number, content []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), content)
}

// appendTFRecord frames data: its length, a checksum of the length, the data, a checksum of the data, all little-endian.
func appendTFRecord(file, data []byte) []byte {
	length := binary.LittleEndian.AppendUint64(nil, uint64(len(data)))
	file = append(file, length...)
	file = binary.LittleEndian.AppendUint32(file, maskedCRC(length))
	file = append(file, data...)
	return binary.LittleEndian.AppendUint32(file, maskedCRC(data))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// maskedCRC is a CRC-32C as TFRecords have it: rotated by 15 bits, plus a constant.
func maskedCRC(data []byte) uint32 {
	crc := crc32.Checksum(data, castagnoli)
	return (crc>>15 | crc<<17) + 0xa282ead8
}
