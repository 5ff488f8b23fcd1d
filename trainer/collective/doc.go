// Package collective lets the processes of one job compute as one: sums of gradients, gathers, a broadcast and a
// barrier, over however many processes there are.
//
// A [Group] is one process's view of its peers. [Single] is a group of one. [Join] makes a group of several: rank 0
// listens, the others dial it, each proves that it is of the same job, attempt, size and recipe, and then they connect
// to one another by the transport, which is Gloo on CPUs. The connections to rank 0 stay open and carry heartbeats both
// ways, so that a peer whose machine has gone silent is noticed too; then every call in every process ends with a
// [PeerLostError].
package collective
