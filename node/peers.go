package node

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// askLimit bounds how long a start waits for other nodes to say which cluster they are. One that runs says so at once.
const askLimit = 500 * time.Millisecond

// askPeers asks the nodes that the config names which cluster they are of: a directory of another one would never be
// heard by them. Who does not answer says nothing.
func (n *Node) askPeers() error {
	ctx, cancel := context.WithTimeout(context.Background(), askLimit)
	defer cancel()
	peers := n.config.Cluster.Nodes
	clusters := make([]string, len(peers))
	var asking sync.WaitGroup
	for i := range peers {
		if peers[i].ID == n.config.Node {
			continue
		}
		asking.Go(func() {
			if s, err := FetchStatus(ctx, peers[i].Control); err == nil {
				clusters[i] = s.Cluster
			}
		})
	}
	asking.Wait()
	own := ClusterString(n.identity.Cluster)
	for i, cluster := range clusters {
		if cluster != "" && cluster != own {
			return fmt.Errorf("%w: directory %s is of cluster %s, node %d at %s of cluster %s: name this node's directory of "+
				"that cluster (dir), or the nodes of this one (cluster.nodes)",
				ErrConfig, n.config.Dir, own, peers[i].ID, peers[i].Control, cluster)
		}
	}
	return nil
}
