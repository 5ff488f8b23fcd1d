package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"math"
	"os"

	"github.com/hrm-operator/hrm-operator/trainer/loop"
)

// resultLine is what --results says of an example.
type resultLine struct {
	Index    int     `json:"index"`
	Puzzle   string  `json:"puzzle,omitempty"`
	Rating   *int32  `json:"rating,omitempty"`
	Exact    bool    `json:"exact"`
	Right    int     `json:"tokensRight"`
	Labelled int     `json:"tokensLabelled"`
	QHalt    float64 `json:"qHalt"` // a probability
	Segments int     `json:"segments"`
	// Answer is a string with a digit to base 36 for each token where the vocabulary allows it, otherwise a list.
	Answer any `json:"answer"`
}

// resultsFile is a file of lines about examples; nil takes none.
type resultsFile struct {
	file    *os.File
	w       *bufio.Writer
	data    evalData
	encoder *json.Encoder
	// vocabulary is the model's, which may be larger than the dataset's.
	vocabulary int
}

// createResults makes the file before anything is computed, so that a place that cannot be written to costs nothing.
func createResults(name string, data evalData, vocabulary int) (*resultsFile, error) {
	if name == "" {
		return nil, nil
	}
	f, err := os.Create(name)
	if err != nil {
		return nil, usageError{err}
	}
	w := bufio.NewWriterSize(f, 1<<16)
	return &resultsFile{file: f, w: w, data: data, encoder: json.NewEncoder(w), vocabulary: vocabulary}, nil
}

func (f *resultsFile) add(r loop.Reading) error {
	if f == nil {
		return nil
	}
	labelled, right := r.Tokens()
	line := resultLine{
		Index: r.Example, Puzzle: f.data.name(r.Example), Exact: labelled > 0 && right == labelled, Right: right, Labelled: labelled,
		QHalt: confidence(r.QHalt), Segments: r.Segments, Answer: compactTokens(r.Answer, f.vocabulary),
	}
	if rating, ok := f.data.Rating(r.Example); ok {
		line.Rating = &rating
	}
	return f.encoder.Encode(line)
}

func (f *resultsFile) close() error {
	if f == nil {
		return nil
	}
	return errors.Join(f.w.Flush(), f.file.Close())
}

// confidence is the probability that the network gives its answer.
func confidence(qHalt float32) float64 {
	p := 1 / (1 + math.Exp(-float64(qHalt)))
	if math.IsNaN(p) {
		return 0
	}
	return round(p, 1e6)
}

// compactTokens is an answer as JSON has it.
func compactTokens(tokens []int32, vocabulary int) any {
	const digits = "0123456789abcdefghijklmnopqrstuvwxyz"
	if vocabulary > len(digits) {
		return tokens
	}
	text := make([]byte, len(tokens))
	for i, token := range tokens {
		text[i] = digits[token]
	}
	return string(text)
}
