package node

import (
	"errors"

	"lockstep/replica"
	"lockstep/service"
)

// Ended is told why a node ends by itself. One whose state is another than a majority's keeps no snapshot that no majority
// has verified: it may be wrong as well, and the next start would begin from it. Run calls it; whoever runs the agents
// of an inline node does, before Abandon.
func (n *Node) Ended(why error) {
	if !errors.Is(why, replica.ErrDiverged) && !errors.Is(why, service.ErrVerified) {
		return
	}
	for _, m := range n.store.List() {
		n.keeper.mu.Lock()
		verified := n.keeper.isVerified(&m)
		n.keeper.mu.Unlock()
		if verified {
			continue
		}
		if err := n.dropSnapshot(m.Position(), errDistrusted); err != nil {
			n.logf("%v", err)
		}
	}
}

var errDistrusted = errors.New("this node's state differed from a majority's, and no majority has verified it")
