package collective

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// Linked returns a group whose AllReduce leaves the sums to the devices of its ranks, which are linked to one another. All
// else stays with the given group, which the returned one closes. All ranks must call it, each with the device that its
// arrays are on. If the device of one rank cannot be linked to those of the others, all go on with the given group, and rank
// 0 notes why. A group of one needs no link.
//
// When a peer is lost, or ctx ends while the devices are linked, no device waits for it any longer.
func Linked(ctx context.Context, g Group, d device.Device, note func(string)) (Group, error) {
	if g.Size() == 1 {
		return g, nil
	}
	linker, ok := d.(device.Linker)
	why, err := agreeOnLink(ctx, g, linker)
	if err != nil {
		return nil, fmt.Errorf("agree on a link of the devices: %w", err)
	}
	if why != "" || !ok {
		if why != "" && g.Rank() == 0 {
			note("gradients are added through the host, which is slower: " + why)
		}
		return g, nil
	}
	id, err := shareLinkID(ctx, g, linker)
	if err != nil {
		return nil, fmt.Errorf("identifier of the devices' link: %w", err)
	}
	within, stop := joined(ctx, g.Context())
	defer stop()
	link, err := linker.Link(within, id, g.Rank(), g.Size())
	if err != nil {
		return nil, verdict(g, err)
	}
	l := &linked{Group: g, link: link}
	l.unwatch = context.AfterFunc(g.Context(), func() { link.Abort(context.Cause(g.Context())) })
	if g.Rank() == 0 {
		kind, _ := linker.LinkKind()
		note(fmt.Sprintf("%d devices are linked: %s", g.Size(), kind))
	}
	return l, nil
}

// DeviceLink returns what links the device of this rank to those of the others, nil if nothing does.
func DeviceLink(g Group) device.Link {
	if l, ok := g.(*linked); ok {
		return l.link
	}
	return nil
}

// linkKind is what a rank says of its device: its kind, or the reason why it has none; neither if it is no linker.
type linkKind struct {
	Kind   string `json:"kind,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// agreeOnLink says why the devices cannot be linked, the same at all ranks; empty if they can, and if none is a linker:
// there is nothing to say about that. linker is nil if this rank's device is none.
func agreeOnLink(ctx context.Context, g Group, linker device.Linker) (why string, err error) {
	var own linkKind
	if linker != nil {
		if own.Kind, err = linker.LinkKind(); err != nil {
			own = linkKind{Reason: err.Error()}
		}
	}
	raw, err := json.Marshal(own)
	if err != nil {
		return "", err
	}
	all, err := g.AllGather(ctx, raw)
	if err != nil {
		return "", err
	}
	return differ(all)
}

// differ compares what the ranks have said.
func differ(all [][]byte) (why string, err error) {
	kinds := make([]linkKind, len(all))
	for rank, raw := range all {
		if !decodeJSON(raw, &kinds[rank]) {
			return "", fmt.Errorf("rank %d sent %q: it runs another version", rank, clip(string(raw)))
		}
	}
	if !slices.ContainsFunc(kinds, func(k linkKind) bool { return k != linkKind{} }) {
		return "", nil
	}
	for rank, k := range kinds {
		switch {
		case k.Reason != "":
			return fmt.Sprintf("rank %d: %s", rank, k.Reason), nil
		case k.Kind == "":
			return fmt.Sprintf("rank %d trains on a device that cannot be linked to those of the others", rank), nil
		case k != kinds[0]:
			return fmt.Sprintf("rank 0 has %s, rank %d has %s: install one version everywhere", kinds[0].Kind, rank, k.Kind), nil
		}
	}
	return "", nil
}

// shareLinkID has rank 0 make an identifier, which all get.
func shareLinkID(ctx context.Context, g Group, linker device.Linker) ([]byte, error) {
	var id []byte
	if g.Rank() == 0 {
		var err error
		if id, err = linker.NewLinkID(); err != nil {
			return nil, err
		}
	}
	return g.Broadcast(ctx, id)
}

// joined is a context that ends when either does, with its cause.
func joined(a, b context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(a)
	unlink := context.AfterFunc(b, func() { cancel(context.Cause(b)) })
	return ctx, func() { unlink(); cancel(nil) }
}

// Verdict is why a device's link has failed that is not used by way of the group: the loss of a peer, if the group finds one
// soon. Other errors it returns as they are.
func Verdict(g Group, err error) error {
	if link := DeviceLink(g); link == nil || link.Err() == nil {
		return err
	}
	return verdict(g, err)
}

// verdict is why a link has failed: the loss of a peer, if the group finds one soon.
func verdict(g Group, err error) error {
	var lost *PeerLostError
	if errors.As(err, &lost) {
		return err
	}
	select {
	case <-g.Context().Done():
		return context.Cause(g.Context())
	case <-time.After(verdictTime):
		return err
	}
}

// linked is a group whose devices add up by themselves.
type linked struct {
	Group
	link    device.Link
	unwatch func() bool
}

// AllReduce implements [Group]. It may return before the sums are there; the device's later work sees them.
func (l *linked) AllReduce(ctx context.Context, arrays []device.Array) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := l.link.AllReduce(arrays); err != nil {
		return verdict(l.Group, err)
	}
	return nil
}

// AllGather implements [Group]. A rank whose device gave up waiting has garbage to tell, and does not.
func (l *linked) AllGather(ctx context.Context, own []byte) ([][]byte, error) {
	if err := l.link.Err(); err != nil {
		return nil, verdict(l.Group, err)
	}
	return l.Group.AllGather(ctx, own)
}

// Broadcast implements [Group].
func (l *linked) Broadcast(ctx context.Context, data []byte) ([]byte, error) {
	if err := l.link.Err(); err != nil {
		return nil, verdict(l.Group, err)
	}
	return l.Group.Broadcast(ctx, data)
}

// Barrier implements [Group].
func (l *linked) Barrier(ctx context.Context) error {
	if err := l.link.Err(); err != nil {
		return verdict(l.Group, err)
	}
	return l.Group.Barrier(ctx)
}

// Close implements [Group].
func (l *linked) Close(reason error) error {
	defer l.unwatch()
	if reason != nil {
		// The others are told before their devices are: they are to know whom they have lost.
		err := l.Group.Close(reason)
		l.link.Abort(reason)
		return errors.Join(err, l.link.Close())
	}
	// The group notices losses until the link is closed, which waits for the device, which may wait for others.
	err := l.link.Close()
	return errors.Join(err, l.Group.Close(nil))
}
