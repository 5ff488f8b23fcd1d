package collective

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// kind is what a frame between a rank and rank 0 means.
type kind byte

// The frames. On the wire one is its kind, the length of its payload in 4 bytes, little-endian, and the payload.
const (
	kindHello     kind = 1 + iota // to rank 0: magic and the JSON of a hello
	kindRefused                   // from rank 0: the JSON of a refusal
	kindStart                     // from rank 0: all are there
	kindAddresses                 // to rank 0: where the transport of a rank listens
	kindTable                     // from rank 0: the addresses of all ranks
	kindAlive                     // both ways: a heartbeat
	kindLost                      // from rank 0: the JSON of a loss
	kindBye                       // both ways: this process leaves; the payload is the reason, empty at the regular end
)

// magic begins a connection, so that strangers are told apart at their first bytes.
const magic = "HRMRDV1\n"

// limits bounds the payload of each kind: nothing that arrives makes a process allocate more.
var limits = map[kind]int{
	kindHello: 4 << 10, kindRefused: 4 << 10, kindStart: 0, kindAddresses: 1 << 20, kindTable: 64 << 20, kindAlive: 0,
	kindLost: 4 << 10, kindBye: 4 << 10,
}

type frame struct {
	kind    kind
	payload []byte
}

// errNotFrame says that what arrived is not of this protocol.
var errNotFrame = errors.New("not a message of hrm train")

// readFrame reads one frame of the kinds that are allowed here; none named means any.
func readFrame(r io.Reader, allowed ...kind) (frame, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, err
	}
	f := frame{kind: kind(head[0])}
	limit, known := limits[f.kind]
	if !known || len(allowed) > 0 && !slices.Contains(allowed, f.kind) {
		return frame{}, fmt.Errorf("%w: unexpected kind %d", errNotFrame, f.kind)
	}
	n := binary.LittleEndian.Uint32(head[1:])
	if int64(n) > int64(limit) {
		return frame{}, fmt.Errorf("%w: %d bytes for kind %d, at most %d", errNotFrame, n, f.kind, limit)
	}
	// The payload grows as it arrives: a length alone allocates nothing.
	var payload bytes.Buffer
	if _, err := io.CopyN(&payload, r, int64(n)); err != nil {
		return frame{}, noEOF(err)
	}
	f.payload = payload.Bytes()
	return f, nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// encode returns the frame as bytes. Texts that are too long are cut; everything else fits by construction.
func (f frame) encode() []byte {
	payload := f.payload
	if limit := limits[f.kind]; len(payload) > limit {
		payload = payload[:limit]
	}
	out := binary.LittleEndian.AppendUint32([]byte{byte(f.kind)}, uint32(len(payload)))
	return append(out, payload...)
}

// hello is how a process introduces itself.
type hello struct {
	Job     string `json:"job"`
	Attempt int    `json:"attempt"`
	Size    int    `json:"size"`
	Rank    int    `json:"rank"`
	Devices int    `json:"devices"`
	// Recipe is a hash of all that decides what is computed.
	Recipe string `json:"recipe"`
}

func (h hello) frame() frame { return jsonFrame(kindHello, h, magic) }

func parseHello(payload []byte) (hello, error) {
	var h hello
	text, ok := bytes.CutPrefix(payload, []byte(magic))
	if !ok {
		return h, errNotFrame
	}
	if err := json.Unmarshal(text, &h); err != nil {
		return h, fmt.Errorf("%w: %w", errNotFrame, err)
	}
	return h, nil
}

// refusal is rank 0's no. One that is not final means: ask again.
type refusal struct {
	Reason string `json:"reason"`
	Final  bool   `json:"final"`
	// Mismatch says that the two were started with different jobs.
	Mismatch bool `json:"mismatch,omitempty"`
}

func (r refusal) frame() frame {
	r.Reason = clip(r.Reason)
	return jsonFrame(kindRefused, r, "")
}

func jsonFrame(k kind, content any, prefix string) frame {
	raw, err := json.Marshal(content)
	if err != nil {
		// The types that come here hold strings and numbers: they always encode.
		raw = []byte("{}")
	}
	return frame{kind: k, payload: append([]byte(prefix), raw...)}
}

func decodeJSON(raw []byte, into any) bool { return json.Unmarshal(raw, into) == nil }

// clip shortens a text so that its JSON fits a frame, however it is escaped.
func clip(text string) string {
	const limit = 500
	if len(text) > limit {
		text = text[:limit] + "…"
	}
	return strings.ToValidUTF8(text, "")
}

// encodeTable joins the ranks' addresses, each behind its length.
func encodeTable(list [][]byte) []byte {
	var out []byte
	for _, a := range list {
		out = binary.LittleEndian.AppendUint32(out, uint32(len(a)))
		out = append(out, a...)
	}
	return out
}

// decodeTable takes the addresses of size ranks apart.
func decodeTable(raw []byte, size int) ([][]byte, error) {
	list := make([][]byte, 0, min(size, len(raw)/4))
	for range size {
		if len(raw) < 4 {
			return nil, fmt.Errorf("%w: the table of addresses is cut short", errNotFrame)
		}
		n := int64(binary.LittleEndian.Uint32(raw))
		if raw = raw[4:]; n > int64(len(raw)) {
			return nil, fmt.Errorf("%w: the table of addresses is cut short", errNotFrame)
		}
		list, raw = append(list, raw[:n]), raw[n:]
	}
	if len(raw) > 0 {
		return nil, fmt.Errorf("%w: the table of addresses is too long", errNotFrame)
	}
	return list, nil
}
