// Command lockstep-peers runs other replicated systems, and measures them with the load generator, the histograms and the lines of
// output that `lockstep bench` has.
//
// # Purpose
//
// `lockstep bench peers` starts it: three processes `lockstep-peers node`, each one member of a cluster of the system named, and
// `lockstep-peers load`, the client, which prints one JSON line a series. It is a module of its own, so that what these systems
// depend on stays out of the module lockstep.
//
//	lockstep-peers load                                   lockstep-peers node, three times
//	bench.Load - session -+- frames over one connection ----- server - dragonboat, or hashicorp/raft with raft-wal
//	                      +- etcd's own client -------------- etcd
//	                      +- NATS' own client --------------- NATS server with JetStream
//
// Libraries are given the thinnest server that makes a service of them: frames over TCP, answered with their payload when the
// entry is applied. Servers are used through their own clients. docs/peers.md says how each is set up, and why.
//
// # Thread ownership
//
// The load, with its session, is the main goroutine's. What a client of another system calls back on goroutines of its own goes
// through a mailbox.
//
// # Failure behaviour
//
// A node ends with an error that says what it could not do. A load that finds no leader within 30 s is an error; an answer that is an error
// ends the load with that error; messages that are never answered are counted as lost.
//
// # Limits
//
// Linux; three members; messages of up to 60 KiB; nothing is encrypted or authenticated.
package main
