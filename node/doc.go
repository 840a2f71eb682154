// Package node makes a running node out of a config file.
//
// # Purpose
//
// Load reads and checks the config. Open takes the node's directory, recovers the journal, opens the transport and lays
// the agents out on threads; Run supervises them until one fails or the node is told to stop. The control plane (HTTP:
// /status, /metrics, catch-up, snapshots) runs beside them. Serve opens and runs a node, and does so again when the log that
// it lacks is kept nowhere and a snapshot was installed in its place.
//
// The keeper decides (retain.go, choose.go: no effects) and carries out (keeper.go, install.go) what becomes of snapshots and
// of the oldest log; what another node reads is pinned (pins.go). A start begins behind the newest snapshot that is whole
// and fits the log (base.go).
//
// # Diagram
//
// Layout shared; what stands in one box shares a thread:
//
//	             +------------------------------------------+
//	network ---> | replica.Agent  service.Driver  Tail       | ---> network
//	             +------------------------------------------+
//	                | log ring, journal.Port     | VotePort        | CatchUpPort
//	             +---------+  +-----------+  +--------+  +----------------+
//	             | journal |  | watermark |  |  vote  |  |  control plane |
//	             +---------+  +-----------+  +--------+  +----------------+
//	             | keeper  |  |   scrub   |
//	             +---------+  +-----------+
//
// Layout dedicated puts the transport, the replica with the leader's role, and the driver on a thread each.
//
// # Thread ownership
//
// Everything in this package but the agents runs on ordinary goroutines. What they ask of an agent goes through
// atomics, rings and counters.
//
// # Failure behaviour
//
// The first agent that returns an error ends the node: all threads stop, what can be synced is synced, and Run returns
// that error. A node that ends without an error leaves the marker of a clean end. Errors that the user mends (config,
// directory, privileges, a port in use) wrap ErrConfig.
package node
