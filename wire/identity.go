package wire

// Position is a byte offset in the log, from 0. A position that is reported, compared or stored is always the end of
// a complete record.
type Position uint64

// Term numbers leaderships, from 1. In one term at most one node leads. 0: before the first.
type Term uint32

// NodeID names a node of the cluster: 1 to MaxNodes; 0 is nobody.
type NodeID uint32

// SessionID names a client's session: random, never used again; 0 is none.
type SessionID uint64

// MaxNodes is how many voters a cluster may have, and the highest node id.
const MaxNodes = 7

// Valid says whether id is one that a node can have.
func (id NodeID) Valid() bool { return id >= 1 && id <= MaxNodes }
