package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
)

// network is the block of 1024 addresses that a cluster uses: the first quarter for the cable between machine and node,
// the second for Services, the others for pods, one for each node. The node has a network namespace of its own, so its ports, iptables
// chains and sysctls are nobody else's; the machine reaches it, its pods and its Services by routes over the cable.
type network struct {
	block netip.Prefix
}

// networkBlocks are tried in this order until one overlaps nothing that the machine knows.
var networkBlocks = []string{"10.244.76.0/22", "172.29.76.0/22", "192.168.196.0/22"}

const (
	bridgeName = "cni0"
	// nodeLink is the node's end of the cable.
	nodeLink = "node0"
	s3Port   = "7070"
)

// address is the host-th address of the quarter-th 256 addresses.
func (n network) address(quarter, host byte) string {
	a := n.block.Addr().As4()
	a[2] += quarter
	a[3] = host
	return netip.AddrFrom4(a).String()
}

func (n network) machine() string    { return n.address(0, 1) }
func (n network) node() string       { return n.address(0, 2) }
func (n network) services() string   { return n.address(1, 0) + "/24" }
func (n network) apiService() string { return n.address(1, 1) }
func (n network) pods() string       { return n.address(2, 0) + "/23" }
func (n network) api() string        { return "https://" + n.node() + ":6443" }
func (n network) s3() string         { return n.node() + ":" + s3Port }

// readNetwork reads which network a cluster uses; a cluster that was never started has none.
func readNetwork(path string) (network, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		return network{}, nil
	} else if err != nil {
		return network{}, err
	}
	block, err := netip.ParsePrefix(strings.TrimSpace(string(raw)))
	if err != nil {
		return network{}, nil // cut off while it was written: there is no cluster behind it
	}
	return network{block}, nil
}

// chooseNetwork returns the first of the blocks that none of the machine's routes leads into.
func chooseNetwork(blocks []string, routes string) (network, error) {
	taken := routePrefixes(routes)
candidates:
	for _, b := range blocks {
		block, err := netip.ParsePrefix(b)
		if err != nil || block.Bits() != 22 || !block.Addr().Is4() || block != block.Masked() {
			return network{}, fmt.Errorf("network %q is not an IPv4 block of the form a.b.c.0/22", b)
		}
		for _, other := range taken {
			if block.Overlaps(other) {
				continue candidates
			}
		}
		return network{block}, nil
	}
	return network{}, fmt.Errorf("%w: the machine has routes into each of %s; name a free /22 in HRM_CLUSTER_NETWORK", errUnsupported, strings.Join(blocks, ", "))
}

// routePrefixes reads the destinations that `ip route show` lists. A default route leads everywhere and takes nothing.
func routePrefixes(routes string) []netip.Prefix {
	var out []netip.Prefix
	for line := range strings.Lines(routes) {
		fields := strings.Fields(line)
		for len(fields) > 0 && (fields[0] == "blackhole" || fields[0] == "unreachable" || fields[0] == "prohibit" || fields[0] == "local") {
			fields = fields[1:]
		}
		if len(fields) == 0 {
			continue
		}
		if prefix, err := netip.ParsePrefix(fields[0]); err == nil {
			out = append(out, prefix.Masked())
		} else if addr, err := netip.ParseAddr(fields[0]); err == nil {
			out = append(out, netip.PrefixFrom(addr, addr.BitLen()))
		}
	}
	return out
}

// makeNetwork chooses the cluster's addresses and lays the cable between the machine and the node's namespace.
func (s *state) makeNetwork(ctx context.Context) error {
	blocks := networkBlocks
	if block := os.Getenv("HRM_CLUSTER_NETWORK"); block != "" {
		blocks = []string{block}
	}
	routes, err := output(ctx, "ip", "-4", "route", "show")
	if err != nil {
		return err
	}
	if s.net, err = chooseNetwork(blocks, routes); err != nil {
		return err
	}
	if err := s.writeFile("network", []byte(s.net.block.String()+"\n"), 0o644); err != nil {
		return err
	}
	holder, err := s.holderPID()
	if err != nil {
		return err
	}
	for _, args := range machineLinks(s.net, s.link(), holder) {
		if _, err := output(ctx, "ip", args...); err != nil {
			return fmt.Errorf("%w: connect the node's network: %w", errUnsupported, err)
		}
	}
	for _, args := range nodeLinks(s.net) {
		if err := s.inNode(append([]string{"ip"}, args...)...); err != nil {
			return fmt.Errorf("%w: set up the node's network: %w", errUnsupported, err)
		}
	}
	return nil
}

// machineLinks are the calls of ip that lay the cable and lead the machine's packets for pods and Services to the node.
func machineLinks(n network, link string, holder int) [][]string {
	return [][]string{
		{"link", "add", link, "type", "veth", "peer", "name", nodeLink, "netns", fmt.Sprint(holder)},
		{"addr", "add", n.machine() + "/24", "dev", link},
		{"link", "set", link, "up"},
		{"route", "add", n.pods(), "via", n.node(), "dev", link},
		{"route", "add", n.services(), "via", n.node(), "dev", link},
	}
}

// nodeLinks are the calls of ip inside the node. The default route also gives Services' addresses a way out, without
// which no packet would get as far as kube-proxy's chains.
func nodeLinks(n network) [][]string {
	return [][]string{
		{"link", "set", "lo", "up"},
		{"addr", "add", n.node() + "/24", "dev", nodeLink},
		{"link", "set", nodeLink, "up"},
		{"route", "add", "default", "via", n.machine()},
	}
}
